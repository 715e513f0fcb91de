"""What the console asks of the two planes. Gateway and jobs service know nothing of it; the command line
brings them together.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from steelyard.config.lines import Place
from steelyard.config.schema import Configuration
from steelyard.model.gateway_sample import GatewaySample


class GatewayPlane(Protocol):
    """A running gateway. Receipts are described in `steelyard why --json`."""

    @property
    def configuration(self) -> Configuration:
        """The one that serves."""
        ...

    def sample(self) -> GatewaySample:
        """Now. Raises ConfigError while the gateway starts."""
        ...

    async def picks(self, text: str = "") -> list[dict[str, Any]]:
        """The newest receipts in which a text occurs; candidates may be left out. Raises BadRequest."""
        ...

    async def why(self, request_id: str) -> list[dict[str, Any]]:
        """The receipts of one request. Raises BadRequest when none is kept."""
        ...

    async def shadow(self) -> dict[str, Any]:
        """What shadow policies would have done."""
        ...

    async def change_replica(self, replica_id: str, action: str, who: str) -> object:
        """Drain or restore one, and record it. Raises BadRequest."""
        ...

    async def recorded(self, who: str, what: str, action: Callable[[], Awaitable[object]]) -> object:
        """Do something else, and record it. Raises BadRequest."""
        ...


class JobsPlane(Protocol):
    """A jobs service, asked over its socket. Blocks; used from one thread at a time."""

    def ask(self, op: str, **values: object) -> dict[str, Any]:
        """One request. Raises BadRequest, or another SteelyardError when nobody answers."""
        ...


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the values of a configuration come from.

    flags: the places that the command line set, each with its option. lines: places to lines of `file`.
    """

    file: str = ""
    lines: dict[Place, int] | None = None
    flags: dict[Place, str] | None = None

    def of(self, place: Place) -> str:
        """In words: a flag, a line of the file, or the default."""
        if flag := (self.flags or {}).get(place):
            return flag
        line = (self.lines or {}).get(place)
        return f"{self.file}:{line}" if line else ""
