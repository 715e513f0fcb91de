"""What holds for all tests."""

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
    old = [path.name for path in stale(ROOT)]
    if old:
        raise pytest.UsageError(
            f"compiled parts are older than {', '.join(old)}: run `make environment`, or `make pure` without"
        )
