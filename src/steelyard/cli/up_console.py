"""The console of a jobs service that runs without a gateway: its jobs and nodes, on loopback, in a thread.

It asks the service through its socket, as the gateway's console does, so the service's loop knows nothing of
it. What its buttons do is in audit.jsonl in the service's folder.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import Any

from steelyard.config.access import AdminOptions, is_loopback
from steelyard.config.schema import Configuration, parse_address
from steelyard.console.site import Console
from steelyard.gateway.admin import AdminServer
from steelyard.jobs.client import JobsClient
from steelyard.model.errors import ConfigError, OutcomeUnknown, SteelyardError
from steelyard.model.gateway_sample import GatewaySample
from steelyard.runtime.audit_log import AuditLog
from steelyard.runtime.listeners import listen

PAGES = ("jobs", "job", "nodes")
JOBS_TIMEOUT_S = 5.0
_NO_GATEWAY = "there is no gateway here: `steelyard serve` has a console of both planes"


class NoGateway:
    """A gateway plane of nothing, which keeps the record all the same."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    @property
    def configuration(self) -> Configuration:
        """Raises ConfigError."""
        raise ConfigError(_NO_GATEWAY)

    def sample(self) -> GatewaySample:
        """Raises ConfigError."""
        raise ConfigError(_NO_GATEWAY)

    async def picks(self, text: str = "") -> list[dict[str, Any]]:
        """None."""
        return []

    async def why(self, request_id: str) -> list[dict[str, Any]]:
        """Raises ConfigError."""
        raise ConfigError(_NO_GATEWAY)

    async def shadow(self) -> dict[str, Any]:
        """None."""
        return {}

    async def change_replica(self, replica_id: str, action: str, who: str) -> object:
        """Raises ConfigError."""
        raise ConfigError(_NO_GATEWAY)

    async def recorded(self, who: str, what: str, action: Callable[[], Awaitable[object]]) -> object:
        """Record, do, record how it went. Raises ConfigError, and does nothing, when it cannot record."""
        self._audit.append(who, what, "asked")
        try:
            result = await action()
        except SteelyardError as error:
            went = "unknown" if isinstance(error, OutcomeUnknown) else "refused"
            self._audit.append(who, what, f"{went}: {error}")
            raise
        self._audit.append(who, what, "done")
        return result


def start_console(address: str, folder: Path) -> None:
    """Serve pages from now on, for as long as the process lives. Raises ConfigError."""
    host, port = parse_address(address, "--console")
    if not is_loopback(host):
        raise ConfigError(
            f"--console is {address}: the jobs service shows its console on loopback only, since it asks for "
            "no key; let a gateway show it elsewhere ([console] state in its file, admin_access.key_file)"
        )
    (listener,) = listen(host, port, 1)
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(listener, folder)), name="console", daemon=True
    )
    thread.start()


async def _serve(listener: socket, folder: Path) -> None:
    plane = NoGateway(AuditLog(folder / "audit.jsonl"))
    console = Console(plane, JobsClient(folder, JOBS_TIMEOUT_S), pages=PAGES)
    server = AdminServer(console.answer, AdminOptions())
    await server.start(listener)
    shown = listener.getsockname()
    name = f"[{shown[0]}]" if ":" in shown[0] else shown[0]
    # Not before: who reads this line asks at once, and gets an answer.
    print(f"console listening on http://{name}:{shown[1]}/console", flush=True)
    with suppress(asyncio.CancelledError):
        await console.run()
