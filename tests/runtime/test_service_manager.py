"""What systemd hears."""

import socket
from pathlib import Path

import pytest

from steelyard.runtime import service_manager


@pytest.mark.parametrize("abstract", [False, True])
def test_messages_reach_the_socket_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path[1:] if abstract else path)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + path[1:] if abstract else path)
        service_manager.ready()
        service_manager.reloading()
        service_manager.succeeded_by(42)
        service_manager.stopping()
        said = [manager.recv(1000) for _ in range(4)]
    assert said[0] == b"READY=1"
    assert said[1].startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert said[2:] == [b"MAINPID=42\nREADY=1", b"STOPPING=1"]


@pytest.mark.parametrize("name", ["", "nonsense", "/nowhere/at/all"])
def test_nobody_listening_is_no_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    service_manager.ready()
