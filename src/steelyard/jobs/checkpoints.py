"""Checkpoints that are whole or not there: for any task, with nothing else of steelyard.

A checkpoint is one file: the payload, then a trailer with its length, its step and its digest. It is
written under a temporary name, flushed to the disk, renamed, and the folder is flushed too, so that a
crash at any moment leaves the one before intact. The trailer comes last, so that a payload can be
streamed and any cut takes the trailer with it. Loading takes the newest that is whole.

    checkpoints = Checkpoints.from_environment()
    found = checkpoints.load()
    state = decode(found.payload) if found else fresh()
    ...
    checkpoints.save(step, encode(state))

One process writes a folder at a time; any number may read it. Needs a file system with atomic rename
(all local ones, NFS from one client).
"""

import hashlib
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

DIRECTORY_VARIABLE = "STEELYARD_CHECKPOINT_DIR"
_MAGIC = b"steelyard checkpoint 1\n"
_NUMBERS = struct.Struct(">QQ")  # payload length in bytes, step
_DIGEST_BYTES = 32
_TRAILER_BYTES = _NUMBERS.size + _DIGEST_BYTES + len(_MAGIC)
_NAME = re.compile(r"step-(\d{12})\.checkpoint")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One that was found whole."""

    step: int
    payload: bytes


class _Digesting:
    """A file that digests what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.digest.update(data)
        self.size_bytes += memoryview(data).nbytes
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._file.flush()


class Checkpoints:
    """The checkpoints of one task in one folder."""

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2) -> None:
        """keep: how many to leave on the disk; 2 or more, or a bad newest has none before it."""
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least 1 checkpoint must stay (2 to survive a bad one)")
        self.folder = Path(folder)
        self.keep = keep

    @classmethod
    def from_environment(cls, *, keep: int = 2, default: str = "checkpoints") -> "Checkpoints":
        """Where the task contract says: `STEELYARD_CHECKPOINT_DIR`."""
        return cls(os.environ.get(DIRECTORY_VARIABLE) or default, keep=keep)

    def save(self, step: int, payload: "bytes | Callable[[_Digesting], object]") -> Path:
        """Write one; when this returns it is on the disk. Returns its path.

        payload: the bytes, or a function that writes them to the file it is given.
        Raises OSError (disk full, write error) and leaves all earlier checkpoints as they were. A
        failed flush is not tried again: the kernel may have dropped the data already.
        A checkpoint of a later step is removed: the run came back from before it.
        """
        if step < 0:
            raise ValueError(f"step is {step}: it must be 0 or more")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:012d}.checkpoint"
        temporary = self.folder / f".{path.name}.{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as file:
                _write(file, step, payload)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _flush_folder(self.folder)
        self._prune(step)
        return path

    def load(self) -> Checkpoint | None:
        """The newest that is whole, or None. A damaged one is passed over, not removed."""
        for _, path in self._newest_first():
            with suppress(OSError):
                if (found := _parse(path.read_bytes())) is not None:
                    return found
        return None

    def steps(self) -> list[int]:
        """Steps on the disk, newest first, whole or not."""
        return [step for step, _ in self._newest_first()]

    def _newest_first(self) -> Iterator[tuple[int, Path]]:
        paths = list(self.folder.iterdir()) if self.folder.is_dir() else []
        named = ((_NAME.fullmatch(path.name), path) for path in paths)
        yield from sorted(((int(match[1]), path) for match, path in named if match), reverse=True)

    def _prune(self, newest_step: int) -> None:
        kept = 0
        for step, path in list(self._newest_first()):
            kept += step <= newest_step
            if step > newest_step or kept > self.keep:
                path.unlink(missing_ok=True)
        for leftover in self.folder.glob(".step-*.tmp"):  # of writers that were killed
            leftover.unlink(missing_ok=True)


def _write(file: BinaryIO, step: int, payload: "bytes | Callable[[_Digesting], object]") -> None:
    digesting = _Digesting(file)
    if callable(payload):
        payload(digesting)
    else:
        digesting.write(payload)
    numbers = _NUMBERS.pack(digesting.size_bytes, step)
    digesting.digest.update(numbers)  # so that a flipped bit in the step is noticed as well
    file.write(numbers + digesting.digest.digest() + _MAGIC)


def _parse(data: bytes) -> Checkpoint | None:
    """What a file holds, or None if any byte is missing or wrong."""
    if len(data) < _TRAILER_BYTES or not data.endswith(_MAGIC):
        return None
    payload, trailer = data[:-_TRAILER_BYTES], data[-_TRAILER_BYTES:]
    numbers, digest = trailer[: _NUMBERS.size], trailer[_NUMBERS.size : _NUMBERS.size + _DIGEST_BYTES]
    size_bytes, step = _NUMBERS.unpack(numbers)
    if size_bytes != len(payload):
        return None
    expected = hashlib.blake2b(payload, digest_size=_DIGEST_BYTES)
    expected.update(numbers)
    return Checkpoint(step, payload) if expected.digest() == digest else None


def _flush_folder(folder: Path) -> None:
    """Make a rename last: it is the folder that holds the name."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
