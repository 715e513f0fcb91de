"""Worker processes: started, watched, started again when they die, replaced one by one, retired.

A worker's place has two rows in the shared page: a successor writes the one while the process before it
still finishes its answers in the other, so that each row has one writer.
Two ways to end: SIGTERM stops within the drain timeout and closes idle connections at once; SIGUSR1
retires a worker whose successor serves already: it takes no more connections, and goes when its last is done.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from socket import socket

from steelyard.model.errors import ConfigError
from steelyard.runtime.page import SharedPage

READY_TIMEOUT_S = 20.0
RETIRE = signal.SIGUSR1
KILL_MARGIN_S = 5.0


class RowPool:
    """Rows of the limit page: one a process, taken and given back."""

    def __init__(self, rows: int) -> None:
        self._free = list(range(rows))

    def take(self) -> int:
        """A free row. Raises ConfigError when too many processes run."""
        if not self._free:
            raise ConfigError(
                "too many old workers still finish their answers: wait, or lower old_worker_timeout_s"
            )
        return self._free.pop(0)

    def give_back(self, row: int) -> None:
        """Its process has ended."""
        self._free.append(row)

    def __len__(self) -> int:
        return len(self._free)


@dataclass(slots=True, eq=False)
class Process:
    """One worker process and the rows it writes."""

    handle: asyncio.subprocess.Process
    row: int
    limit_row: int


@dataclass(slots=True)
class Worker:
    """One worker's place: the same over all processes that fill it."""

    index: int
    listeners: list[socket]
    process: Process | None = None
    retiring: list[Process] = field(default_factory=list)
    restarts: int = 0

    @property
    def pid(self) -> int:
        """Of the process that serves now; 0 for none."""
        return self.process.handle.pid if self.process is not None else 0


class Workers:
    """All workers of one generation."""

    def __init__(
        self,
        module: str,
        page: SharedPage,
        listeners: Iterable[list[socket]],
        limit_rows: RowPool,
        start_message: Callable[[int], bytes],
        inherited: tuple[int, ...] = (),
        ended: Callable[[Process], None] = lambda process: None,
    ) -> None:
        """start_message: what a worker reads first, from its row of the limit page.

        inherited: descriptors that it gets beside the page and its sockets.
        ended: called with each process that has ended, however it did.
        """
        self._module = module
        self._page = page
        self._limit_rows = limit_rows
        self._start_message = start_message
        self._inherited = inherited
        self._ended = ended
        self._stopping = False
        self._watchers: set[asyncio.Task[None]] = set()
        self.workers = [Worker(index, each) for index, each in enumerate(listeners)]

    async def start(self) -> None:
        """Start all; return when each serves. Raises ConfigError when one cannot, and stops the others."""
        started = await asyncio.gather(*map(self._fill, self.workers), return_exceptions=True)
        for outcome in started:
            if isinstance(outcome, BaseException):
                await self.stop(1.0)
                raise outcome

    async def restart(self, worker: Worker, timeout_s: float) -> None:
        """Put a new process into a place; the old one retires. Raises ConfigError, the old one serving on."""
        old = worker.process
        await self._fill(worker)
        if old is not None:
            worker.retiring.append(old)
            self._signal([old], RETIRE)
            self._keep(asyncio.create_task(self._kill_late([old], timeout_s)))

    async def _fill(self, worker: Worker) -> None:
        process = await self._spawn(worker)
        if self._stopping:  # told to while it started
            process.handle.terminate()
        worker.process = process
        self._keep(asyncio.create_task(self._watch(worker, process)))

    async def _spawn(self, worker: Worker) -> Process:
        used = {each.row for each in (worker.process, *worker.retiring) if each is not None}
        rows = [row for row in (worker.index, worker.index + len(self.workers)) if row not in used]
        if not rows:
            raise ConfigError(f"worker {worker.index} was replaced just before and still finishes: wait")
        limit_row = self._limit_rows.take()
        self._page.set_in_use(rows[0], True)
        descriptors = (self._page.descriptor, *(each.fileno() for each in worker.listeners))
        handle = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module,
            *map(str, (rows[0], self._page.workers, *descriptors)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(*descriptors, *self._inherited),
        )  # fmt: skip
        process = Process(handle, rows[0], limit_row)
        if not await self._is_ready(process):
            if handle.returncode is None:
                handle.kill()
            await handle.wait()
            self._release(process)
            raise ConfigError(f"worker {worker.index} did not start: its error stands above")
        return process

    async def _is_ready(self, process: Process) -> bool:
        stdin, stdout = process.handle.stdin, process.handle.stdout
        if stdin is None or stdout is None:
            return False
        message = self._start_message(process.limit_row)
        stdin.write(len(message).to_bytes(8, "big") + message)
        try:
            return bool(await asyncio.wait_for(stdout.readline(), READY_TIMEOUT_S))
        except TimeoutError:
            return False

    async def _watch(self, worker: Worker, process: Process) -> None:
        """When a process has ended, give its rows back; replace it if that was not asked for."""
        await process.handle.wait()
        self._release(process)
        if process in worker.retiring:
            worker.retiring.remove(process)
        if worker.process is not process:
            return
        worker.process = None
        while not self._stopping and worker.process is None:
            worker.restarts += 1
            if worker.restarts > 3:
                await asyncio.sleep(min(5.0, 0.1 * worker.restarts))  # one that dies at once must not spin
            try:
                await self._fill(worker)
            except ConfigError as error:
                print(f"steelyard: {error}", file=sys.stderr, flush=True)

    def _release(self, process: Process) -> None:
        self._page.clear_ledger_row(process.row)
        self._page.set_in_use(process.row, False)
        self._ended(process)
        self._limit_rows.give_back(process.limit_row)

    # --- ends ----------------------------------------------------------------------------------

    @property
    def processes(self) -> list[Process]:
        """All that still run."""
        every = [each for worker in self.workers for each in (worker.process, *worker.retiring)]
        return [each for each in every if each is not None and each.handle.returncode is None]

    async def retire(self, timeout_s: float) -> None:
        """Others serve now: let all finish what they have; return when the last has gone."""
        await self._end(RETIRE, timeout_s)

    async def stop(self, timeout_s: float) -> None:
        """Drain all, and end those that do not."""
        await self._end(signal.SIGTERM, timeout_s)

    async def _end(self, number: signal.Signals, timeout_s: float) -> None:
        self._stopping = True
        processes = self.processes
        self._signal(processes, number)
        await self._kill_late(processes, timeout_s)
        for watcher in list(self._watchers):
            if watcher is not asyncio.current_task():
                await asyncio.gather(watcher, return_exceptions=True)

    @staticmethod
    def _signal(processes: list[Process], number: signal.Signals) -> None:
        for process in processes:
            if process.handle.returncode is None:
                process.handle.send_signal(number)

    @staticmethod
    async def _kill_late(processes: list[Process], timeout_s: float) -> None:
        waiting = [asyncio.create_task(process.handle.wait()) for process in processes]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=timeout_s + KILL_MARGIN_S)
        if late:
            Workers._signal(processes, signal.SIGKILL)
            await asyncio.wait(late)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)
