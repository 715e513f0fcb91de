"""The service's door: a unix socket for the user who started it, one JSON line a request and an answer.

No network and no key: the kernel lets nobody else in (mode 0600). A connection has a thread, which only
waits: all work is done by the service's own loop.
"""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec

from steelyard.jobs.executor import Attempt
from steelyard.jobs.log_text import text_of
from steelyard.jobs.requests import LOG_PIECE_BYTES, ORDERS, VIEWS, Call
from steelyard.jobs.service import JobsService, Request
from steelyard.model.errors import BadRequest, SteelyardError
from steelyard.runtime.local_socket import listen_at
from steelyard.scheduling.controller_state import Changes

LINE_LIMIT_BYTES = 64 << 20  # a job of 100,000 tasks, each with an environment, has some 20 MB
ANSWER_TIMEOUT_S = 60.0
LOOK_S = 2.0  # between looks whether the socket is still there
REMOTE_LOG_TIMEOUT_S = 3.0


class JobsServer:
    """Takes requests to the service's inbox and answers back."""

    def __init__(self, service: JobsService, path: Path) -> None:
        self._service = service
        self._path = path
        self._listener = self._listen()
        self.leave_after_s: float | None = None
        self._thread = threading.Thread(target=self._accept, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> socket.socket:
        listener = listen_at(self._path)
        listener.settimeout(LOOK_S)
        return listener

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                try:
                    connection, _ = self._listener.accept()
                except TimeoutError:
                    self._mend()
                    continue
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _mend(self) -> None:
        """Whoever tidies up a folder may take our socket away, and nobody could reach us to say so."""
        if self._path.exists():
            return
        with contextlib.suppress(OSError):  # no folder any more: perhaps there is one again next time
            before, self._listener = self._listener, self._listen()
            before.close()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:
            while line := stream.readline(LINE_LIMIT_BYTES):
                if not line.endswith(b"\n"):
                    return
                stream.write(msgspec.json.encode(self._answer(line)) + b"\n")
                stream.flush()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            call = msgspec.json.decode(line)
            if not isinstance(call, dict):
                raise BadRequest("a request is a JSON object with op")
            return {"status": 200, **self._ask(call)}
        except msgspec.DecodeError as error:
            return {"status": 400, "error": f"this is no JSON: {error}"}
        except SteelyardError as error:
            return {"status": error.http_status, "error": str(error)}
        except (ValueError, TypeError) as error:
            return {"status": 400, "error": f"a value of the request is of no use: {error}"}

    def _from_elsewhere(self, view: dict[str, Any], task: str) -> dict[str, Any]:
        """A piece of a log that is on another machine. In this thread: the loop must not wait for it."""
        task_id = task if "." in task else f"{task}.0"
        attempt = Attempt(task_id=task_id, epoch=int(view["epoch"]))
        executor = self._service.executor
        data = executor.read_log(attempt, int(view["offset"]), LOG_PIECE_BYTES, REMOTE_LOG_TIMEOUT_S)
        text, taken = text_of(data, complete=view["final"] and len(data) < LOG_PIECE_BYTES)
        return {"text": text, "offset": int(view["offset"]) + taken}

    def _ask(self, call: Call) -> dict[str, Any]:
        """Hand it to the loop and wait."""
        name = call.get("op")
        if name == "down":
            self.leave_after_s = float(call.get("grace_s") or 0.0)
            self._service.inbox.put(None)
            return {}
        view: list[dict[str, Any]] = []
        failure: list[ValueError | TypeError] = []
        done = threading.Event()
        outcome: list[Changes | SteelyardError] = []

        def answer(changes: Changes | SteelyardError) -> None:
            outcome.append(changes)
            done.set()

        def look(service: JobsService) -> None:
            try:
                view.append(VIEWS[str(name)](service, call))
            except (ValueError, TypeError) as error:
                failure.append(error)

        if name in ORDERS:
            self._service.inbox.put(Request(answer, ask=lambda service: ORDERS[str(name)](service, call)))
        elif name in VIEWS:
            self._service.inbox.put(Request(answer, ask=look))
        else:
            known = ", ".join((*ORDERS, *VIEWS))
            raise BadRequest(f"there is no request {name!r}: known are {known}", http_status=404)
        if not done.wait(ANSWER_TIMEOUT_S):
            raise BadRequest(
                f"no answer within {ANSWER_TIMEOUT_S:g} s: ask again, with the same key", http_status=504
            )
        if isinstance(outcome[0], SteelyardError):
            raise outcome[0]
        if failure:
            raise failure[0]
        if name == "logs" and not view[0]["here"]:
            view[0] |= self._from_elsewhere(view[0], str(call["task"]))
        return view[0] if view else {"job": outcome[0].job_id, "new": bool(outcome[0].new_jobs)}
