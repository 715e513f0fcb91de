"""What holds for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from tools.compile_data_plane import stale

ROOT = Path(__file__).resolve().parent.parent

# No test asserts a time: on a busy machine any example may be slow.
settings.register_profile("steelyard", deadline=None)
settings.load_profile("steelyard")


def pytest_configure() -> None:
    """Compiled parts hide their sources: never test old ones in place of new ones."""
    # readline, which pytest loads, tells child processes of a terminal of 80 columns that is not there.
    for name in ("COLUMNS", "LINES"):
        os.unsetenv(name)
    old = [path.name for path in stale(ROOT)]
    if old:
        raise pytest.UsageError(
            f"compiled parts are older than {', '.join(old)}: run `make environment`, or `make pure` without"
        )
