"""Asking the jobs service: for the command line and for Python programs."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedRWPair
from pathlib import Path
from typing import Any

import msgspec

from steelyard.model.errors import BadRequest, OutcomeUnknown, SteelyardError
from steelyard.model.job_specification import JobSpecification
from steelyard.runtime.local_socket import connect_to

SOCKET_NAME = "jobs.socket"
FINAL_STATES = ("done", "failed", "cancelled")


class NoService(SteelyardError):
    """Nobody answers at the socket."""


class Unanswered(NoService, OutcomeUnknown):
    """The service was told, and then did not answer."""


def state_folder(given: Path | None = None) -> Path:
    """Where the service keeps its things: as given, STEELYARD_STATE, or the user's state folder."""
    if given is not None:
        return given
    if found := os.environ.get("STEELYARD_STATE"):
        return Path(found)
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "steelyard"


class JobsClient:
    """One connection, opened when needed and opened again when the service was started again."""

    def __init__(self, folder: Path | None = None, timeout_s: float = 65.0) -> None:
        self.folder = state_folder(folder)
        self._timeout_s = timeout_s
        self._connection: socket.socket | None = None
        self._stream: BufferedRWPair | None = None

    def ask(self, op: str, **values: object) -> dict[str, Any]:
        """One request. Raises NoService, Unanswered, or BadRequest with what the service says."""
        try:
            line = msgspec.json.encode({"op": op, **values}) + b"\n"
        except UnicodeEncodeError as error:
            raise BadRequest(f"{error.object!r} is not UTF-8 text: the jobs service takes no other") from None
        try:
            stream = self._sent(line)
        except OSError as error:
            self.close()
            raise NoService(
                f"no jobs service answers at {self.folder / SOCKET_NAME} ({error.strerror or error}): "
                "start one with `steelyard up`, or say where it is with --state"
            ) from None
        try:
            answer = _answer_of(stream)
        except OSError as error:
            self.close()
            raise Unanswered(
                f"the jobs service at {self.folder / SOCKET_NAME} took a line and did not answer it "
                f"({error.strerror or error})"
            ) from None
        found: dict[str, Any] = msgspec.json.decode(answer)
        if found["status"] != 200:
            raise BadRequest(str(found.get("error")), http_status=int(found["status"]))
        return found

    def _sent(self, line: bytes) -> BufferedRWPair:
        """Where the answer will come. A service that is gone, or a line cut short, has done nothing."""
        stream = self._stream
        if stream is None:
            self._connection = connect_to(self.folder / SOCKET_NAME, self._timeout_s)
            stream = self._stream = self._connection.makefile("rwb")
        stream.write(line)
        stream.flush()
        return stream

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        if self._connection is not None:
            self._connection.close()
        self._stream = self._connection = None

    def submit(self, specification: JobSpecification, key: str = "") -> str:
        """Submit; the job's name. The same key again gives the same job."""
        return self.submit_once(specification, key)[0]

    def submit_once(self, specification: JobSpecification, key: str) -> tuple[str, bool]:
        """The same, and whether it is a new job: else the key was given to it before."""
        answer = self.ask("submit", specification=specification, key=key, wall_s=time.time())
        return str(answer["job"]), bool(answer["new"])

    def wait(self, job_id: str, timeout_s: float | None = None, interval_s: float = 0.1) -> str:
        """Wait until a job is over; its state. Raises TimeoutError."""
        deadline_s = time.monotonic() + timeout_s if timeout_s is not None else None
        while True:
            state = str(self.ask("job", job=job_id)["state"])
            if state in FINAL_STATES:
                return state
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise TimeoutError(f"job {job_id} is {state} after {timeout_s:g} s")
            time.sleep(interval_s)

    def follow_log(self, task_id: str, interval_s: float = 0.2, tail_bytes: int = 0) -> Iterator[str]:
        """A task's output as it comes, until the task is over."""
        offset = -tail_bytes
        while True:
            answer = self.ask("logs", task=task_id, offset=offset)
            offset = answer["offset"]
            if answer["text"]:
                yield answer["text"]
            elif answer["final"]:
                return
            else:
                time.sleep(interval_s)


def _answer_of(stream: BufferedRWPair) -> bytes:
    answer = stream.readline()
    if not answer.endswith(b"\n"):
        raise ConnectionResetError(0, "it hung up")
    return answer
