"""A TCP proxy that spoils the way: delay, jitter, bandwidth, reset, truncation, slow close.

Each direction of each connection is a thread that copies bytes by the `Spoil` of that direction. A test
may change `to_client` and `to_server` while connections are open.
"""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.harness.chaos_engine import reset


@dataclass(slots=True, kw_only=True)
class Spoil:
    """What happens to one direction.

    delay_s, jitter_s: each piece waits delay ± jitter. bytes_per_s: 0 is unlimited.
    cut_after_bytes: the direction ends there; with `resets` by a reset, else by a silent close.
    close_after_s: how long the end of the stream is held back.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    cut_after_bytes: int = -1
    resets: bool = False
    close_after_s: float = 0.0
    piece_bytes: int = 65_536


@dataclass(slots=True, eq=False)
class ChaosProxy:
    """Listens on a free port and passes connections on to `target`."""

    target: str
    seed: int = 1
    to_server: Spoil = field(default_factory=Spoil)
    to_client: Spoil = field(default_factory=Spoil)
    accepted: int = 0
    _pairs: set[tuple[socket.socket, socket.socket]] = field(default_factory=set)
    _listener: socket.socket = field(init=False)
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        parts = urlsplit(self.target)
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
            except OSError:
                reset(client)
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            self._pairs.add(pair)
            for source, sink, upward in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._copy, args=(source, sink, upward, pair), daemon=True).start()

    def _copy(
        self,
        source: socket.socket,
        sink: socket.socket,
        upward: bool,
        pair: tuple[socket.socket, socket.socket],
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv((self.to_server if upward else self.to_client).piece_bytes):
                spoil = self.to_server if upward else self.to_client
                wait_s = spoil.delay_s + spoil.jitter_s * self._rng.uniform(-1, 1)
                if spoil.bytes_per_s:
                    wait_s += len(data) / spoil.bytes_per_s
                if wait_s > 0:
                    time.sleep(wait_s)
                if 0 <= spoil.cut_after_bytes < passed + len(data):
                    sink.sendall(data[: spoil.cut_after_bytes - passed])
                    self._end(pair, resets=spoil.resets)
                    return
                sink.sendall(data)
                passed += len(data)
            close_after_s = (self.to_server if upward else self.to_client).close_after_s
            if close_after_s:
                time.sleep(close_after_s)
            sink.shutdown(socket.SHUT_WR)
            return
        self._end(pair, resets=True)

    def _end(self, pair: tuple[socket.socket, socket.socket], *, resets: bool) -> None:
        self._pairs.discard(pair)
        for each in pair:
            with contextlib.suppress(OSError):
                if resets:
                    time.sleep(0.02)  # bytes already under way may still be read
                    reset(each)
                else:
                    each.shutdown(socket.SHUT_RDWR)
                    each.close()

    def kill_connections(self, *, resets: bool = True) -> int:
        """End all connections now; return how many there were."""
        pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair, resets=resets)
        return len(pairs)

    def close(self) -> None:
        """Take no more connections and end those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.kill_connections()


@contextlib.contextmanager
def chaos_proxy(target: str, *, seed: int = 1) -> Iterator[ChaosProxy]:
    """A proxy for the length of a block."""
    proxy = ChaosProxy(target, seed)
    try:
        yield proxy
    finally:
        proxy.close()
