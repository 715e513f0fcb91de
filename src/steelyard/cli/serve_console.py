"""The console that `steelyard serve` puts on the admin port, and where its configuration comes from."""

from collections.abc import Mapping
from pathlib import Path

from steelyard.config.lines import Place, lines_of
from steelyard.config.schema import Configuration
from steelyard.console.planes import Origins
from steelyard.console.site import Console
from steelyard.gateway.console_source import ConsoleSource, MakeConsole
from steelyard.jobs.client import JobsClient

JOBS_TIMEOUT_S = 5.0  # a page would rather say that nobody answers than wait for a minute
REMEMBERED = 16  # configurations: reloads that fail leave the one before


class OriginBook:
    """Where each configuration that was read came from, for the one that serves in the end."""

    def __init__(self) -> None:
        self._known: list[tuple[Configuration, Origins]] = []

    def note(
        self, configuration: Configuration, file: Path | None, engines: int, flags: Mapping[str, object]
    ) -> None:
        """A configuration was read. engines: --engine options; flags: the names of other options given."""
        lines: dict[Place, int] = {}
        if file is not None:
            lines = lines_of(file.read_text(encoding="utf-8"))
        places: dict[Place, str] = {(name,): f"--{name.replace('_', '-')}" for name in flags}
        for index in range(len(configuration.pools) if "policy" in flags else 0):
            places["pools", index, "policy"] = "--policy"
        for index in range(engines):
            places["pools", 0, "replicas", index, "url"] = "--engine"
        origins = Origins(str(file) if file is not None else "", lines, places)
        self._known = [*self._known, (configuration, origins)][-REMEMBERED:]

    def of(self, configuration: Configuration) -> Origins:
        """Of one that was noted; of nothing for another."""
        return next((origins for known, origins in self._known if known is configuration), Origins())


def console_maker(configuration: Configuration, book: OriginBook) -> MakeConsole | None:
    """What makes the console, None when the configuration wants none."""
    options = configuration.console
    if not options.enabled:
        return None
    folder = Path(options.state).expanduser() if options.state else None
    jobs = JobsClient(folder, JOBS_TIMEOUT_S) if options.jobs else None

    def make(source: ConsoleSource) -> Console:
        return Console(source, jobs, options, book.of)

    return make
