"""Worker processes: started, watched, started again when they die.

Each worker has a listening socket of its own (`SO_REUSEPORT`: the kernel spreads connections), which
the supervisor keeps open: what waits in a dead worker's queue is served by its successor.
"""

import asyncio
import socket
import sys
from dataclasses import dataclass

from steelyard.model.errors import ConfigError
from steelyard.runtime.page import SharedPage

READY_TIMEOUT_S = 20.0


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` sockets on one address; port 0 takes a free one. Raises ConfigError when the address is
    taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets: list[socket.socket] = []
    try:
        # Without SO_REUSEPORT first: another program that set it would share its port with us in silence.
        with socket.socket(family, socket.SOCK_STREAM) as guard:
            guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            guard.bind((host, port))
            port = guard.getsockname()[1]
            if count:
                guard.listen(1)
        for _ in range(count):
            each = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind((host, port))
            each.listen(4096)
            each.setblocking(False)
    except OSError as error:
        for each in sockets:
            each.close()
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen on {host}:{port}: {reason}: choose another port, or end its user"
        ) from None
    return sockets


@dataclass(slots=True)
class Worker:
    """One worker's place: the same over all processes that fill it."""

    index: int
    listener: socket.socket
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0


class Workers:
    """All workers of a gateway."""

    def __init__(
        self, module: str, page: SharedPage, listeners: list[socket.socket], configuration: bytes
    ) -> None:
        self._module = module
        self._page = page
        self._configuration = configuration
        self._stopping = False
        self._watchers: list[asyncio.Task[None]] = []
        self.workers = [Worker(index, listener) for index, listener in enumerate(listeners)]

    async def start(self) -> None:
        """Start all; return when each serves. Raises ConfigError when one cannot."""
        await asyncio.gather(*(self._spawn(worker) for worker in self.workers))
        self._watchers = [asyncio.create_task(self._watch(worker)) for worker in self.workers]

    async def _spawn(self, worker: Worker) -> None:
        descriptors = (self._page.descriptor, worker.listener.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module,
            *map(str, (worker.index, self._page.workers, *descriptors)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=descriptors,
        )  # fmt: skip
        worker.process = process
        if process.stdin is None or process.stdout is None:
            return
        process.stdin.write(len(self._configuration).to_bytes(8, "big") + self._configuration)
        try:
            ready = await asyncio.wait_for(process.stdout.readline(), READY_TIMEOUT_S)
        except TimeoutError:
            ready = b""
        if not ready and not self._stopping:
            raise ConfigError(f"worker {worker.index} did not start: its error stands above")

    async def _watch(self, worker: Worker) -> None:
        """Replace the process whenever it dies."""
        while worker.process is not None:
            await worker.process.wait()
            self._page.clear_ledger_row(worker.index)
            if self._stopping:
                return
            worker.restarts += 1
            if worker.restarts > 3:
                await asyncio.sleep(min(5.0, 0.1 * worker.restarts))  # one that dies at once must not spin
            try:
                await self._spawn(worker)
            except ConfigError as error:
                print(f"steelyard: {error}", file=sys.stderr, flush=True)

    async def stop(self, timeout_s: float) -> None:
        """Drain all workers, and end those that do not."""
        self._stopping = True
        processes = [worker.process for worker in self.workers if worker.process is not None]
        for process in processes:
            if process.returncode is None:
                process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(process.wait() for process in processes))
        except TimeoutError:
            for process in processes:
                if process.returncode is None:
                    process.kill()
        await asyncio.gather(*self._watchers, return_exceptions=True)
