"""What holds for all tests."""

from pathlib import Path

import pytest
from tools.compile_data_plane import stale

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Compiled parts hide their sources: never test old ones in place of new ones."""
    old = [path.name for path in stale(ROOT)]
    if old:
        raise pytest.UsageError(
            f"compiled parts are older than {', '.join(old)}: run `make environment`, or `make pure` without"
        )
