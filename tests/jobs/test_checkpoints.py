"""A checkpoint is whole or not there, whatever happens to its writer or its file."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.processes import wait_until

from steelyard.jobs import checkpoints as module
from steelyard.jobs.checkpoints import Checkpoint, Checkpoints

# Loaded by its path, without the package: the module must need nothing else of ours.
LOADER = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("checkpoints", {module.__file__!r})
checkpoints = sys.modules["checkpoints"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(checkpoints)
assert not any(name.startswith("steelyard") for name in sys.modules)
store = checkpoints.Checkpoints(sys.argv[1])
"""
# Each payload is one repeated byte, so that a mixture of two would show.
WRITER = (
    LOADER + "step = 0\nwhile True:\n    step += 1\n    store.save(step, bytes([step % 256]) * 200_000)\n"
)
LIMITED = (
    LOADER
    + """
import errno, resource
store.save(1, b"small")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    store.save(2, b"x" * 100_000)
except OSError as error:
    sys.exit(0 if error.errno == errno.EFBIG else 3)
sys.exit(4)
"""
)


def saved(folder: Path, *steps: int, keep: int = 2) -> Checkpoints:
    store = Checkpoints(folder, keep=keep)
    for step in steps:
        store.save(step, f"state {step}".encode())
    return store


def test_the_newest_comes_back(tmp_path: Path) -> None:
    assert saved(tmp_path, 1, 2).load() == Checkpoint(2, b"state 2")


def test_none_comes_from_an_empty_or_missing_folder(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).load() is None
    assert Checkpoints(tmp_path / "missing").load() is None


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    assert saved(tmp_path, 1, 2, 3, 4, keep=3).steps() == [4, 3, 2]


def test_a_run_that_came_back_from_before_removes_what_it_does_not_go_on_from(tmp_path: Path) -> None:
    store = saved(tmp_path, 10, 20)
    store.save(15, b"another past")
    assert store.steps() == [15, 10]


def test_a_payload_can_be_streamed(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(1, lambda file: pickle.dump({"weights": [1.5] * 1000}, file))
    found = store.load()
    assert found is not None
    assert pickle.loads(found.payload) == {"weights": [1.5] * 1000}


def test_truncation_at_every_byte_falls_back_to_the_one_before(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    newest = store.save(2, b"state 2")
    whole = newest.read_bytes()
    for length in range(len(whole)):
        newest.write_bytes(whole[:length])
        assert store.load() == Checkpoint(1, b"state 1"), length


def test_a_flipped_bit_anywhere_falls_back_to_the_one_before(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    newest = store.save(2, b"state 2")
    whole = newest.read_bytes()
    for place in range(len(whole)):
        newest.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert store.load() == Checkpoint(1, b"state 1"), place


def test_bytes_after_the_end_are_damage_too(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    newest = store.save(2, b"state 2")
    newest.write_bytes(newest.read_bytes() + b"\0")
    assert store.load() == Checkpoint(1, b"state 1")


def test_a_writer_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    reached = 0
    for _ in range(8):
        before = reached
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) as writer:
            # Killed when a new one has appeared: the writer is then somewhere in the next write.
            wait_until(lambda before=before: any(step != before for step in store.steps()))  # type: ignore[misc]  # mypy infers no default of a lambda
            writer.send_signal(signal.SIGKILL)
        found = store.load()
        assert found is not None
        assert found.payload == bytes([found.step % 256]) * 200_000
        reached = found.step


def test_what_a_killed_writer_left_is_swept_by_the_next_save(tmp_path: Path) -> None:
    (tmp_path / ".step-000000000007.checkpoint.123.tmp").write_bytes(b"half")
    saved(tmp_path, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000008.checkpoint"]


def test_a_full_disk_leaves_the_one_before_and_no_rubbish(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], check=False).returncode == 0
    assert Checkpoints(tmp_path).load() == Checkpoint(1, b"small")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_flush_is_told_and_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls = saved(tmp_path, 1), []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="input/output"):
        store.save(2, b"state 2")
    assert len(calls) == 1
    assert store.load() == Checkpoint(1, b"state 1")


def test_the_folder_comes_from_the_task_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_CHECKPOINT_DIR", str(tmp_path / "here"))
    assert Checkpoints.from_environment().folder == tmp_path / "here"


@pytest.mark.parametrize(("keep", "step"), [(0, 1), (2, -1)])
def test_numbers_that_make_no_sense_are_refused(tmp_path: Path, keep: int, step: int) -> None:
    with pytest.raises(ValueError, match="must"):
        Checkpoints(tmp_path, keep=keep).save(step, b"")
