"""What the admin port hands to those who answer it, and what they may hand back."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from steelyard.runtime.admin_door import Door
from steelyard.wire.http1_head import RequestHead


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request on the admin port.

    who: from where, and with which certificate, for the audit log. session: of the browser's cookie, b""
    for none. let_in: False for the few pages that are shown before the key is.
    """

    head: RequestHead
    who: str
    door: Door = field(default_factory=lambda: Door(b""))
    body: bytes = b""
    session: bytes = b""
    let_in: bool = True
    secure: bool = False

    @property
    def path(self) -> str:
        """Without the query."""
        return self.head.path.decode("latin-1")

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.head.target.partition(b"?")[2].decode("latin-1")

    def field(self, name: bytes) -> bytes:
        """A field's value, b"" when there is none. name: lower case."""
        for line in self.head.lines:
            found, _, value = line.partition(b":")
            if found.strip().lower() == name:
                return value.strip()
        return b""


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer without an end: its head, and pieces as they come. The port closes a slow reader's."""

    head: bytes
    pieces: AsyncGenerator[bytes, None]


AdminAnswer = bytes | EventStream


def cookie(request_field: bytes, name: bytes) -> bytes:
    """One cookie of a Cookie field, b"" when it is not there."""
    for part in request_field.split(b";"):
        found, _, value = part.strip().partition(b"=")
        if found == name:
            return value
    return b""
