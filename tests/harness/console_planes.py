"""Two planes for a console, in plain memory, and its pages asked over a real admin port."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.config.access import AdminOptions
from steelyard.config.console import ConsoleOptions
from steelyard.config.load import from_engines
from steelyard.config.schema import Configuration
from steelyard.console.planes import Origins
from steelyard.console.site import Console
from steelyard.gateway.admin import AdminServer
from steelyard.model.errors import BadRequest
from steelyard.model.gateway_sample import GatewaySample, ReplicaSample
from steelyard.runtime.listeners import listen

BOUNDS_S = (0.1, 1.0, 2.0, 4.0)


def replica(name: str, **changes: Any) -> ReplicaSample:
    """One that is well and idle."""
    values: dict[str, Any] = {
        "url": f"http://{name}",
        "pool": "default",
        "state": "healthy",
        "models": ("llama",),
        "weight": 1.0,
        "in_flight": 0,
        "queued_prompt_tokens": 0,
        "expected_output_tokens": 0,
        "ok": 0,
        "client_errors": 0,
        "server_errors": 0,
    }
    return ReplicaSample(replica_id=name, **(values | changes))


def sample(at_s: float = 1000.0, *replicas: ReplicaSample, **changes: Any) -> GatewaySample:
    """A gateway that has answered nothing yet."""
    values: dict[str, Any] = {
        "monotonic_s": at_s,
        "up_s": 1.0,
        "pid": 1,
        "generation": 1,
        "retiring": 0,
        "ready": True,
        "workers": 1,
        "worker_restarts": 0,
        "requests": {"2xx": 0, "5xx": 0},
        "retries": 0,
        "cut_streams": 0,
        "continued_streams": 0,
        "ttft_counts": (0, 0, 0, 0, 0),
        "ttft_bounds_s": BOUNDS_S,
        "ttft_sum_s": 0.0,
        "replicas": replicas,
    }
    return GatewaySample(at_s=at_s, **(values | changes))


@dataclass
class MemoryGateway:
    """A gateway plane; what it is told to do is kept."""

    replicas: list[ReplicaSample] = field(default_factory=lambda: [replica("one"), replica("two")])
    receipts: list[dict[str, Any]] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)
    configuration: Configuration = field(default_factory=lambda: from_engines(["http://one", "http://two"]))

    def sample(self) -> GatewaySample:
        return sample(1000.0, *self.replicas)

    async def picks(self, text: str = "") -> list[dict[str, Any]]:
        return [each for each in self.receipts if text in each["request_id"]]

    async def why(self, request_id: str) -> list[dict[str, Any]]:
        found = [each for each in self.receipts if each["request_id"] == request_id]
        if not found:
            raise BadRequest(f"no receipt of request {request_id!r}", http_status=404)
        return found

    async def shadow(self) -> dict[str, Any]:
        return {"pools": [], "access_log": ""}

    async def change_replica(self, replica_id: str, action: str, who: str) -> object:
        if replica_id not in [each.replica_id for each in self.replicas]:
            raise BadRequest(f"no replica {replica_id!r}", http_status=404)
        self.told.append((action, replica_id))
        return None

    async def recorded(self, who: str, what: str, action: Callable[[], Awaitable[object]]) -> object:
        self.told.append(("recorded", what))
        return await action()


def receipt(request_id: str = "r-1", **changes: Any) -> dict[str, Any]:
    """A pick between two replicas."""
    return {
        "request_id": request_id,
        "at": 1000.0,
        "pool": "default",
        "attempt": 1,
        "prompt_tokens": 100,
        "replica": "one",
        "reason": "prefix",
        "matched_tokens": 40,
        "work_tokens": 60,
        "compared": 2,
        "candidates": [{"replica": "one", "score": 0.5}, {"replica": "two", "score": 1.0}],
    } | changes


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    head: str
    body: str

    def field(self, name: str) -> str:
        """A field's value, "" when it is not there."""
        for line in self.head.split("\r\n"):
            found, _, value = line.partition(": ")
            if found.lower() == name.lower():
                return value
        return ""


class Port:
    """A console on a free port of its own, inside one event loop."""

    def __init__(self, server: AdminServer, number: int, console: Console) -> None:
        self.server = server
        self.number = number
        self.console = console

    async def send(
        self, method: str, path: str, body: str = "", fields: tuple[str, ...] = ()
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A request; the connection that the answer comes on."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.number}",
            "Connection: close",
            *fields,
            *([f"Content-Length: {len(body.encode())}"] if body else []),
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        return reader, writer

    async def ask(self, method: str, path: str, body: str = "", fields: tuple[str, ...] = ()) -> Said:
        """A request and its whole answer."""
        reader, writer = await self.send(method, path, body, fields)
        async with asyncio.timeout(20):
            text = (await reader.read()).decode()
        writer.close()
        head, _, rest = text.partition("\r\n\r\n")
        return Said(int(head.split()[1]), head, rest)

    async def get(self, path: str, *fields: str) -> Said:
        """Read a page."""
        return await self.ask("GET", path, fields=fields)

    async def token(self, *fields: str) -> str:
        """What the forms of a page carry."""
        page = (await self.get("/console/replicas", *fields)).body
        return page.partition('name="token" value="')[2].partition('"')[0]


def on_port(
    use: Callable[[Port], Awaitable[None]],
    gateway: MemoryGateway | None = None,
    jobs: Any = None,
    options: ConsoleOptions | None = None,
    key: Path | None = None,
) -> None:
    """Run a console for the length of a coroutine."""

    async def run() -> None:
        console = Console(gateway or MemoryGateway(), jobs, options, lambda _: Origins("g.toml"))
        await console.watch.look()
        if console.watch.jobs_look is not None:
            await console.watch.jobs_look
        server = AdminServer(console.answer, AdminOptions(key_file=str(key) if key else ""))
        (listener,) = listen("127.0.0.1", 0, 1)
        await server.start(listener)
        watching = asyncio.create_task(console.run())
        try:
            await use(Port(server, listener.getsockname()[1], console))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            server.close()

    asyncio.run(run())
