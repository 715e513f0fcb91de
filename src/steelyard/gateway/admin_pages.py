"""What the admin port shows and does. Reading is GET or HEAD; doing is POST and is put into the audit log."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from steelyard.cluster.membership import ReplicaState
from steelyard.gateway import answers
from steelyard.gateway.admin import CONSOLE
from steelyard.gateway.generation import Generation, describe
from steelyard.gateway.metrics import CONTENT_TYPE
from steelyard.model.errors import BadRequest, ConfigError, OutcomeUnknown, SteelyardError
from steelyard.runtime.admin_exchange import AdminAnswer, AdminRequest
from steelyard.runtime.audit_log import AuditLog

JSON = b"application/json"
_STATES = {"drain": ReplicaState.DRAINING, "restore": ReplicaState.STARTING}


class Gateway(Protocol):
    """The supervisor, as far as the admin port may ask of it."""

    @property
    def generation(self) -> Generation: ...

    @property
    def retiring(self) -> list[Generation]: ...

    @property
    def ready(self) -> bool: ...

    def metrics(self) -> bytes: ...

    def status(self) -> dict[str, object]: ...

    def set_draining(self, draining: bool) -> None: ...

    async def reload(self) -> None: ...

    async def upgrade(self) -> int: ...

    async def restart_workers(self, index: int | None) -> None: ...

    def request_stop(self) -> None: ...


class Console(Protocol):
    """The web pages, as far as the admin port knows them."""

    async def run(self) -> None:
        """Watch for as long as the gateway serves."""
        ...

    async def answer(self, request: AdminRequest) -> AdminAnswer:
        """Answer what is below /console. Raises BadRequest."""
        ...


class AdminPages:
    """Answers what `AdminServer` let in."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.console: Console | None = None
        self.audit: AuditLog | None = None
        self._actions: dict[str, Callable[[], Awaitable[object]]] = {
            "/reload": self._reload,
            "/upgrade": self._upgrade,
            "/workers/restart": self._restart,
            "/drain": self._drain,
            "/restore": self._restore,
            "/stop": self._stop,
        }

    def audit_to(self, path: str) -> None:
        """Write actions to a file from now on, or to none. Raises ConfigError when it cannot be written."""
        self.audit = AuditLog(Path(path)) if path else None

    def note(self, what: str, detail: str = "") -> None:
        """Record what was asked for in another way than over the port."""
        if self.audit is not None:
            self.audit.append("local", what, detail)

    async def answer(self, request: AdminRequest) -> AdminAnswer:
        """One answer. Raises BadRequest."""
        try:
            return await self._answer(request)
        except ConfigError as error:  # nothing to tell of yet
            raise BadRequest(str(error), http_status=503) from None

    async def _answer(self, request: AdminRequest) -> AdminAnswer:
        head, path = request.head, request.head.path.decode("ascii")
        if self.console is not None and (path == CONSOLE or path.startswith(f"{CONSOLE}/")):
            return await self.console.answer(request)
        if head.method in (b"GET", b"HEAD"):
            if path in ("/picks", "/shadow") or path.startswith("/why/"):
                page = await self._gateway.generation.inquire(path)
                return answers.answer(200, msgspec.json.encode(page), head_only=head.method == b"HEAD")
            if path == "/" and self.console is not None:
                return answers.answer(303, b"", extra=b"Location: /console\r\n")
            status, body, content_type = self._read(path)
            return answers.answer(status, body, content_type=content_type, head_only=head.method == b"HEAD")
        if head.method == b"POST":
            return answers.answer(200, msgspec.json.encode(await self.act(path, request.who)))
        raise BadRequest(f"{head.method.decode()} {path[:200]} is not served here", http_status=405)

    def _read(self, path: str) -> tuple[int, bytes, bytes]:
        gateway = self._gateway
        if path == "/metrics":
            return 200, gateway.metrics(), CONTENT_TYPE
        if path == "/healthz":
            return 200, b'{"status": "ok"}', JSON
        if path == "/readyz":
            if gateway.ready:
                return 200, b'{"status": "ready"}', JSON
            _ = gateway.generation  # raises while it starts
            return 503, b'{"status": "draining"}', JSON
        if path == "/replicas":
            return 200, msgspec.json.encode([describe(probe) for probe in gateway.generation.probes]), JSON
        if path == "/workers":
            workers = gateway.generation.workers.workers
            described = [{"pid": each.pid, "restarts": each.restarts} for each in workers]
            return 200, msgspec.json.encode(described), JSON
        if path == "/status":
            return 200, msgspec.json.encode(gateway.status()), JSON
        pages = ", and web pages at /console" if self.console is not None else ""
        raise BadRequest(
            f"no page {path[:200]}: there are /metrics, /healthz, /readyz, /replicas, /workers, /status, "
            f"/picks, /why/REQUEST_ID, /shadow{pages}",
            http_status=404,
        )

    # --- doing ---------------------------------------------------------------------------------

    async def act(self, path: str, who: str) -> object:
        """Do it and record it. Raises BadRequest."""
        return await self.recorded(who, f"POST {path[:200]}", lambda: self._do(path))

    async def recorded(self, who: str, what: str, action: Callable[[], Awaitable[object]]) -> object:
        """Record what is about to be done first, so that nothing is done unrecorded; then how it went.

        Raises BadRequest.
        """
        self._record(who, what, "asked")
        try:
            result = await action()
        except OutcomeUnknown as error:
            self._record(who, what, f"unknown: {error}")
            raise BadRequest(str(error), http_status=error.http_status, code="unknown") from None
        except SteelyardError as error:
            self._record(who, what, f"refused: {error}")
            if isinstance(error, BadRequest):
                raise
            raise BadRequest(str(error), http_status=409, code="refused") from None
        self._record(who, what, "done")
        return result

    def _record(self, who: str, what: str, detail: str) -> None:
        if self.audit is None:
            return
        try:
            self.audit.append(who, what, detail)
        except ConfigError as error:
            raise BadRequest(f"nothing was done: {error}", http_status=503) from None

    async def _do(self, path: str) -> object:
        action = self._actions.get(path)
        if action is not None:
            return await action()
        parts = path.strip("/").split("/")
        if parts[0] == "replicas" and len(parts) >= 3:
            return self._change_replica(path.removeprefix("/replicas/"))
        if parts[0] == "workers" and len(parts) == 3 and parts[2] == "restart" and parts[1].isdigit():
            await self._gateway.restart_workers(int(parts[1]))
            return self._gateway.status()
        raise BadRequest(
            f"no action {path[:200]}: there are {', '.join(self._actions)}, /workers/N/restart, "
            "/replicas/ID/drain and /replicas/ID/restore",
            http_status=404,
        )

    def _change_replica(self, rest: str) -> object:
        replica_id, _, action = rest.rpartition("/")
        state = _STATES.get(action)
        if state is None:
            raise BadRequest(f"no action {action[:50]!r}: there are drain and restore", http_status=404)
        gateway = self._gateway
        probe = gateway.generation.set_state(replica_id, state)
        for old in gateway.retiring:
            old.set_state(replica_id, state)
        if probe is None:
            raise BadRequest(f"no replica {replica_id[:200]!r}: GET /replicas lists them", http_status=404)
        return describe(probe)

    async def _reload(self) -> object:
        await self._gateway.reload()
        return self._gateway.status()

    async def _upgrade(self) -> object:
        return {"pid": await self._gateway.upgrade()}

    async def _restart(self) -> object:
        await self._gateway.restart_workers(None)
        return self._gateway.status()

    async def _drain(self) -> object:
        self._gateway.set_draining(True)
        return self._gateway.status()

    async def _restore(self) -> object:
        self._gateway.set_draining(False)
        return self._gateway.status()

    async def _stop(self) -> object:
        self._gateway.request_stop()
        return self._gateway.status()
