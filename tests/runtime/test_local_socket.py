"""Sockets of one user, below folders of any depth."""

import os
import stat
import threading
from pathlib import Path

import pytest

from steelyard.runtime.local_socket import LIMIT_BYTES, connect_to, listen_at


@pytest.mark.parametrize("depth", [0, 20], ids=["short", "longer than the kernel takes"])
def test_listens_for_its_user_alone_whatever_the_umask(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["a-long-name"] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "door.socket"
    assert depth == 0 or len(str(path)) > LIMIT_BYTES
    before = os.umask(0)
    try:
        listener = listen_at(path)
    finally:
        os.umask(before)
    assert os.listdir(folder) == [path.name]
    with listener, connect_to(path, 5.0) as connection:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        connection.sendall(b"x")
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(1) == b"x"


def test_leaves_the_umask_of_other_threads_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    over = threading.Event()

    def make_doors() -> None:
        for number in range(200):
            listen_at(tmp_path / f"{number}.socket").close()
        over.set()

    doors = threading.Thread(target=make_doors)
    try:
        doors.start()
        modes, number = set(), 0
        while number == 0 or not over.is_set():
            (tmp_path / f"file-{number}").touch()
            modes.add(stat.S_IMODE((tmp_path / f"file-{number}").stat().st_mode))
            number += 1
    finally:
        doors.join()
        os.umask(before)
    assert modes == {0o644}


def test_replaces_a_dead_predecessors_socket(tmp_path: Path) -> None:
    path = tmp_path / "door.socket"
    listen_at(path).close()
    with listen_at(path), connect_to(path, 5.0):
        pass


def test_a_place_of_no_use_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "taken.socket").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none/door\.socket"):
        listen_at(tmp_path / "none" / "door.socket")
    with pytest.raises(IsADirectoryError, match=r"taken\.socket"):
        listen_at(tmp_path / "taken.socket")
    assert os.listdir(tmp_path) == ["taken.socket"]
