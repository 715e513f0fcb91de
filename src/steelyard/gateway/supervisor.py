"""The supervisor: it starts workers and does what is slow, so that they need not.

It owns the listening sockets and what outlives a configuration: the limits' page, the totals, the admin
port. A reload (SIGHUP) makes a new generation of workers on the same sockets and retires the old one; an
upgrade (SIGUSR2) starts the program anew, on the same sockets too, and retires itself. Either changes
nothing when the new one does not come up.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from socket import socket
from time import monotonic

import uvloop

from steelyard.config.schema import Configuration, parse_address
from steelyard.gateway import metric_sums, tenant_metrics
from steelyard.gateway.admin import AdminServer
from steelyard.gateway.admin_pages import AdminPages
from steelyard.gateway.checks import check_files
from steelyard.gateway.console_source import ConsoleSource, MakeConsole
from steelyard.gateway.generation import Generation
from steelyard.gateway.upgrade import Inheritance, same_address, start_successor
from steelyard.model.errors import ConfigError
from steelyard.runtime import service_manager
from steelyard.runtime.limit_page import LimitPage, SlotTable
from steelyard.runtime.listeners import listen, listen_beside
from steelyard.runtime.workers import RowPool

DRAIN_MARGIN_S = 2.0
CARRY_S = 0.25
TLS_CHECK_S = 2.0
MIN_LIMIT_ROWS, MAX_LIMIT_ROWS = 16, 256

Load = Callable[[], Configuration]


class Supervisor:
    """One gateway. load: reads the configuration again, as it was first read."""

    def __init__(
        self,
        configuration: Configuration,
        say: Callable[[str], None],
        load: Load,
        make_console: MakeConsole | None = None,
    ) -> None:
        self._say = say
        self._load = load
        rows = min(MAX_LIMIT_ROWS, max(MIN_LIMIT_ROWS, 4 * configuration.workers))
        self._limits = LimitPage.create(rows)
        self._limit_rows = RowPool(rows)
        self._slots = SlotTable()
        self._configuration = configuration
        self._listeners: list[socket] = []
        self._admin_listener: socket | None = None
        self._admin: AdminServer | None = None
        self._pages = AdminPages(self)
        if make_console is not None:
            self._pages.console = make_console(ConsoleSource(self, self._pages))
        self._current: Generation | None = None
        self._number = 0
        self._past: dict[str, float] = {}
        self._changing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._successor = 0
        self._started_s = monotonic()
        self.retiring: list[Generation] = []
        self._wants_clients = True
        self._succeeds = False

    @property
    def generation(self) -> Generation:
        """The one that takes new connections."""
        if self._current is None:
            raise ConfigError("the gateway is still starting: wait a moment")
        return self._current

    @property
    def ready(self) -> bool:
        """Whether clients should be sent here. While a successor starts, the one before it serves."""
        return self._wants_clients and (self._succeeds or self._current is not None)

    # --- from start to stop --------------------------------------------------------------------

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Raises ConfigError when it cannot start."""
        loop, configuration = asyncio.get_running_loop(), self._configuration
        check_files(configuration)
        inheritance = Inheritance.take()
        self._succeeds = inheritance.succeeds
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_signal, self.reload, "reload")
        loop.add_signal_handler(signal.SIGUSR2, self._on_signal, self.upgrade, "upgrade")
        try:
            self._open_listeners(configuration, inheritance)
            await self._open_admin(configuration, inheritance)
            generation = self._new_generation(configuration)
            await generation.start()
            self._current = generation
            self._keep(self._carry_loads())
            self._keep(self._watch_certificates())
            if self._pages.console is not None:
                self._keep(self._pages.console.run())
            self._announce(configuration)
            inheritance.say_ready()
            if not inheritance.succeeds:  # else the one before says so: only the main process is heard
                service_manager.ready()
            await self._stop.wait()
        finally:
            await self._end()
        return 0

    async def _end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if not self._successor:
            service_manager.stopping()
        if self._admin is not None:
            self._admin.close()
        left = [*self.retiring, *([self._current] if self._current is not None else [])]
        if self._successor:
            await self._finish_in_peace(left)
        timeout_s = self._configuration.drain_timeout_s + DRAIN_MARGIN_S
        await asyncio.gather(*(each.stop(timeout_s) for each in left))
        for each in (*self._listeners, *filter(None, (self._admin_listener,))):
            each.close()

    async def _finish_in_peace(self, generations: list[Generation]) -> None:
        """Others serve: whatever we still have goes on to its end, unless we are told to stop as well."""
        retired = asyncio.gather(*(each.retire() for each in generations))
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait((retired, hurried), return_when=asyncio.FIRST_COMPLETED)
        retired.cancel()
        hurried.cancel()

    def request_stop(self) -> None:
        """Finish what was begun within the drain timeout, and end."""
        self._wants_clients = False
        if self._successor:
            self._hurry.set()
        self._stop.set()

    def set_draining(self, draining: bool) -> None:
        """Say on /readyz whether whoever sends us clients should."""
        self._wants_clients = not draining

    def _announce(self, configuration: Configuration) -> None:
        address = self._listeners[0].getsockname()
        scheme = "https" if configuration.tls.enabled else "http"
        self._say(f"gateway listening on {scheme}://{_shown(address[0])}:{address[1]}")
        if self._admin_listener is not None:
            address = self._admin_listener.getsockname()
            scheme = "https" if configuration.admin_access.tls.enabled else "http"
            self._say(f"admin listening on {scheme}://{_shown(address[0])}:{address[1]}")

    # --- sockets -------------------------------------------------------------------------------

    def _open_listeners(self, configuration: Configuration, inheritance: Inheritance) -> None:
        host, port = parse_address(configuration.listen, "listen")
        taken = [each for each in inheritance.listeners if same_address(each, host, port)]
        inheritance.listeners = [each for each in inheritance.listeners if each not in taken]
        self._listeners = self._enough(taken, host, port, configuration.workers)

    @staticmethod
    def _enough(listeners: list[socket], host: str, port: int, count: int) -> list[socket]:
        """At least one socket a worker; none is ever closed, since clients may wait in its queue."""
        if not listeners:
            return listen(host, port, count)
        port = listeners[0].getsockname()[1]
        return listeners + listen_beside(host, port, count - len(listeners))

    async def _open_admin(self, configuration: Configuration, inheritance: Inheritance) -> None:
        host, port = parse_address(configuration.admin, "admin")
        taken, inheritance.admin = inheritance.admin, None
        if taken is not None and same_address(taken, host, port):
            listener = taken
        else:
            try:
                listener = listen(host, port, 1)[0]
            except ConfigError as error:
                raise ConfigError(f"{error} (admin: choose another with --admin)") from None
        await self._serve_admin(configuration, listener)
        inheritance.close_unused()

    async def _serve_admin(self, configuration: Configuration, listener: socket) -> None:
        server = AdminServer(self._pages.answer, configuration.admin_access)
        self._pages.audit_to(configuration.admin_access.audit_log)
        await server.start(listener.dup())
        if self._admin is not None:
            self._admin.close()
        if self._admin_listener is not None and self._admin_listener is not listener:
            self._admin_listener.close()
        self._admin, self._admin_listener = server, listener

    # --- change without loss -------------------------------------------------------------------

    def _new_generation(self, configuration: Configuration) -> Generation:
        self._number += 1
        count = configuration.workers
        shared = [self._listeners[index::count] for index in range(count)]
        return Generation(self._number, configuration, shared, self._limits, self._limit_rows, self._slots)

    async def reload(self) -> None:
        """Read, check, start, and only then retire. Raises ConfigError, and changes nothing."""
        async with self._changing:
            if self._successor or self._stop.is_set():
                raise ConfigError("this gateway is about to end")
            service_manager.reloading()
            try:
                await self._reload()
            finally:
                service_manager.ready()

    async def _reload(self) -> None:
        configuration = await asyncio.to_thread(self._load)
        check_files(configuration)
        old, before = self.generation, self._listeners
        host, port = parse_address(configuration.listen, "listen")
        same = (host, port) == parse_address(self._configuration.listen, "listen")
        self._listeners = self._enough(before if same else [], host, port, configuration.workers)
        try:
            generation = await self._replace(old, configuration)
        except ConfigError:
            for each in self._listeners:
                if each not in before:
                    each.close()
            self._listeners = before
            raise
        self._current, self._configuration = generation, configuration
        self.retiring.append(old)
        self._keep(self._retire(old, () if same else tuple(before)))
        self._say(f"reloaded: generation {generation.number} serves")

    async def _replace(self, old: Generation, configuration: Configuration) -> Generation:
        """Start a new generation; what stood before still stands when it cannot. Raises ConfigError."""
        generation = self._new_generation(configuration)
        await generation.start(old)
        try:
            await self._change_admin(configuration)
        except ConfigError:
            await generation.stop(1.0)
            raise
        return generation

    async def _change_admin(self, configuration: Configuration) -> None:
        """Open the admin port anew when anything about it changed. Raises ConfigError."""
        old = self._configuration
        if (configuration.admin, configuration.admin_access) == (old.admin, old.admin_access):
            return
        host, port = parse_address(configuration.admin, "admin")
        listener = self._admin_listener
        if listener is None or not same_address(listener, host, port):
            listener = listen(host, port, 1)[0]
        await self._serve_admin(configuration, listener)

    async def _retire(self, generation: Generation, listeners: tuple[socket, ...] = ()) -> None:
        """Let a generation finish, and keep what it counted."""
        for each in listeners:
            each.close()  # of an address that is served no more
        await generation.retire()
        if generation in self.retiring:
            self.retiring.remove(generation)
        now = metric_sums.counts(self.generation.metrics())
        sums = metric_sums.total((self._past, metric_sums.counts(generation.metrics())))
        self._past = {name: value for name, value in sums.items() if name in now}

    async def restart_workers(self, index: int | None) -> None:
        """Replace one worker, or all one after the other; each serves until its successor does."""
        async with self._changing:
            generation = self.generation
            workers = generation.workers.workers
            if index is not None and index >= len(workers):
                raise ConfigError(f"there is no worker {index}: there are {len(workers)}, from 0")
            for worker in workers if index is None else [workers[index]]:
                await generation.workers.restart(worker, generation.configuration.old_worker_timeout_s)

    async def upgrade(self) -> int:
        """Hand over to a new program; its process id. Raises ConfigError, and goes on serving."""
        async with self._changing:
            if self._successor or self._stop.is_set():
                raise ConfigError("this gateway is about to end")
            self._successor = await start_successor(self._listeners, self._admin_listener)
            service_manager.succeeded_by(self._successor)
            self._say(f"upgraded: process {self._successor} serves")
            # The answer to whoever asked for it leaves before the admin port is closed.
            asyncio.get_running_loop().call_later(0.2, self._stop.set)
            return self._successor

    def _on_signal(self, action: Callable[[], Awaitable[object]], name: str) -> None:
        async def act() -> None:
            self._pages.note(f"signal: {name}")
            try:
                await action()
            except ConfigError as error:
                print(f"steelyard: {name} refused, nothing changed: {error}", file=sys.stderr, flush=True)
                self._pages.note(f"signal: {name}", f"refused: {error}")

        self._keep(act())

    # --- what is done all the time -------------------------------------------------------------

    async def _carry_loads(self) -> None:
        """Tell the newest workers what older ones still have on the replicas."""
        carried = False
        while True:
            await asyncio.sleep(CARRY_S)
            if self.retiring or carried:
                self.generation.carry([each.in_flight() for each in self.retiring])
                carried = bool(self.retiring)

    async def _watch_certificates(self) -> None:
        while True:
            await asyncio.sleep(TLS_CHECK_S)
            if self._admin is not None and self._admin.tls is not None:
                try:
                    self._admin.tls.refresh()
                except ConfigError as error:
                    print(f"steelyard: the old certificate serves on: {error}", file=sys.stderr, flush=True)

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what is told --------------------------------------------------------------------------

    def metrics(self) -> bytes:
        """All counters of all generations, and the newest one's gauges."""
        older = [metric_sums.counts(each.metrics()) for each in self.retiring]
        past = metric_sums.total((self._past, *older))
        text = metric_sums.with_past(self.generation.metrics(), past)
        refused = self._admin.refused if self._admin is not None else 0
        text += tenant_metrics.render(self._limits, self.generation.limit_slots)
        return text + tenant_metrics.render_supervisor(self._number, len(self.retiring), refused)

    def status(self) -> dict[str, object]:
        """Who serves, and who still finishes."""
        return {
            "pid": os.getpid(),
            "up_s": round(monotonic() - self._started_s, 3),
            "generation": self._number,
            "ready": self.ready,
            "workers": [each.handle.pid for each in self.generation.workers.processes],
            "retiring": [
                {"generation": each.number, "workers": [one.handle.pid for one in each.workers.processes]}
                for each in self.retiring
            ],
            "audit_hash": self._pages.audit.last_hash if self._pages.audit is not None else "",
        }


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def run(
    configuration: Configuration,
    say: Callable[[str], None] = print,
    load: Load | None = None,
    make_console: MakeConsole | None = None,
) -> int:
    """Run a gateway until it is told to stop; returns the exit code. Raises ConfigError."""

    async def serve() -> int:
        return await Supervisor(configuration, say, load or (lambda: configuration), make_console).run()

    return uvloop.run(serve())
