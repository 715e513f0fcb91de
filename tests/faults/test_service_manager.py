"""What systemd hears of a gateway that starts, reloads, hands over, and ends."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.fault_fleet import pool
from tests.harness.chaos_engine import chaos_engines, good
from tests.harness.processes import configured_gateway


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_systemd_follows_a_gateway_through_reload_and_upgrade(manager: socket.socket, tmp_path: Path) -> None:
    with (
        chaos_engines(good) as (engine,),
        configured_gateway(tmp_path, "workers = 1\n" + pool("p", engine.url)) as front,
    ):
        assert manager.recv(1000) == b"READY=1"
        front.process.send_signal(signal.SIGHUP)
        assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(1000) == b"READY=1"
        front.process.send_signal(signal.SIGUSR2)
        first, second = manager.recv(1000).decode().splitlines()
        assert second == "READY=1"
        name, _, successor = first.partition("=")
        assert name == "MAINPID"
        try:
            assert front.process.wait(30) == 0  # without a word: it is not the service any more
        finally:
            os.kill(int(successor), signal.SIGTERM)
        assert manager.recv(1000) == b"STOPPING=1"
