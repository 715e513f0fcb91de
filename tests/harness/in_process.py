"""A worker's connections without sockets: bytes go in by hand, and what would be sent is looked at."""

import asyncio
import socket
from typing import Any, cast

import uvloop

from steelyard.config.schema import Configuration, PoolOptions, ReplicaOptions, RouteOptions
from steelyard.gateway import fleet_table, worker
from steelyard.gateway.client_connection import ClientConnection
from steelyard.gateway.outlet import Outbox
from steelyard.gateway.upstream import UpstreamConnection
from steelyard.gateway.worker_start import WorkerStart
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.runtime.page import SharedPage


class FakeTransport:
    """What a connection writes to.

    outbox: what has been written by the end of a turn; the turn ends when somebody looks.
    socket: what it would be on, for those who look at what waits there.
    """

    def __init__(self, outbox: Outbox, on: socket.socket | None = None) -> None:
        self.outbox = outbox
        self.socket = on
        self._written = b""
        self.closed = self.half_closed = False
        self.unsent = 0
        self._paused = False

    @property
    def written(self) -> bytes:
        """All that has been written, or was since it was set."""
        self.outbox.leave()
        return self._written

    @written.setter
    def written(self, data: bytes) -> None:
        self.outbox.leave()
        self._written = data

    def reads(self) -> bool:
        """Whether it is to be read from."""
        return not self._paused

    def get_extra_info(self, name: str) -> object:
        return {"peername": ("127.0.0.1", 1), "socket": self.socket}.get(name)

    def write(self, data: bytes) -> None:
        self._written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """A half-close is as good as a close here: nothing more is served."""
        self.closed = self.half_closed = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int) -> None:
        """It holds nothing back."""


class Bench:
    """One worker's context before `replicas` engines that serve the model `m`; must be closed."""

    def __init__(self, replicas: int = 1, **options: Any) -> None:
        pool = options.pop("pool", {})
        urls = [f"http://127.0.0.1:{9000 + number}" for number in range(replicas)]
        engines = tuple(ReplicaOptions(url=url, models=("m",)) for url in urls)
        self.configuration = Configuration(
            workers=1,
            seed=1,
            pools=(PoolOptions(**({"policy": "least-requests", "replicas": engines} | pool)),),
            routes=(RouteOptions(),),
            **options,
        )
        page = SharedPage.create(1, PrefixIndex.bytes_needed(self.configuration.prefix_index_entries))
        page.publish_fleet(fleet_table.encode(fleet_table.rows_of(self.configuration)))
        start = WorkerStart(
            configuration=self.configuration, limit_descriptor=-1, limit_rows=0, limit_row=0, limit_slots={}
        )
        self.quiet, self._far = socket.socketpair()
        self.loop = uvloop.new_event_loop()
        self.context, _ = worker.build_context(start, page, 0, self.loop)

    def close(self) -> None:
        """Let the loop go."""
        for upstream in self.context.upstreams:
            upstream.close()
        unfinished = asyncio.all_tasks(self.loop)
        for task in unfinished:
            task.cancel()
        self.loop.run_until_complete(asyncio.wait(unfinished) if unfinished else asyncio.sleep(0))
        self.loop.close()
        self.quiet.close()
        self._far.close()

    def client(self) -> tuple[ClientConnection, FakeTransport]:
        """A client that has just connected."""
        client, transport = ClientConnection(self.context), FakeTransport(self.context.outbox)
        client.connection_made(cast(asyncio.BaseTransport, transport))
        return client, transport

    def idle(self, slot: int, on: socket.socket | None = None) -> tuple[UpstreamConnection, FakeTransport]:
        """An idle connection to an engine. on: its socket, one on which nothing waits when left out."""
        connection = UpstreamConnection(self.context.upstreams[slot])
        transport = FakeTransport(self.context.outbox, on or self.quiet)
        connection.connection_made(cast(asyncio.BaseTransport, transport))
        self.context.upstreams[slot].give_back(connection)
        return connection, transport

    def end_turn(self) -> None:
        """What has been written leaves."""
        self.context.outbox.end_turn()

    def turn(self, seconds: float = 0.01) -> None:
        """Let the loop turn, and time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
