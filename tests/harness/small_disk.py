"""A small file system of its own, to be filled to the last byte."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.telemetry.host import free_bytes


@contextlib.contextmanager
def disk_of(size_mib: int, folder: Path) -> Iterator[Path]:
    """So large, at this folder, for the length of a block. Skips the test where it may not be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here: needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is free; the file that does."""
    with (disk / "big").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)) == 4096 and free_bytes(str(disk)):
            pass
    return disk / "big"
