"""What a client knows when nobody answers: whether the service was told."""

import socket
from pathlib import Path

import pytest

from steelyard.jobs.client import SOCKET_NAME, JobsClient, NoService, Unanswered


def test_an_order_that_was_sent_and_not_answered_is_not_one_that_was_never_sent(tmp_path: Path) -> None:
    client = JobsClient(tmp_path, timeout_s=0.05)
    with pytest.raises(NoService, match="no jobs service answers") as absent:
        client.ask("cancel", job="1")
    assert not isinstance(absent.value, Unanswered)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()
        with pytest.raises(Unanswered, match="timed out"):
            client.ask("cancel", job="1")


def test_a_service_that_hung_up_before_it_was_told_was_not_told(tmp_path: Path) -> None:
    client = JobsClient(tmp_path, timeout_s=5.0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()
        client._sent(b"{}\n")  # a connection that is kept
        listener.accept()[0].close()
        with pytest.raises(NoService) as gone:
            client.ask("cancel", job="1")
    assert not isinstance(gone.value, Unanswered)
