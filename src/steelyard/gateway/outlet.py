"""What is written in one turn of the loop leaves at its end, together; only the first goes at once.

A write wakes whoever waits for it. Written one by one, each time a request or an answer is done, they wake
the other side over and over, and it falls asleep in between; written together, it wakes once and finds them
all. A turn of a worker that has much to do costs a sixth less so. The first does not wait: it may be the only
one, however much else is read in its turn.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

MOST_SENDERS: Final = 64  # then they leave before the turn is over: the first of them has waited long enough
MOST_BYTES: Final = 65_536  # of one connection; more is handed over at once, so that a slow reader is noticed


class Sender:
    """A connection that has something to write."""

    __slots__ = ()

    def leave(self) -> None:
        """Write what waits."""
        raise NotImplementedError


class Outbox:
    """The connections of one worker that have something to write. call_soon: the loop's."""

    __slots__ = ("_call_soon", "_senders", "_turn_is_open")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._senders: list[Sender] = []
        self._turn_is_open = False

    def add(self, sender: Sender) -> None:
        """Have a connection write: now if it is the turn's first, else at its end. Once, until it does."""
        if not self._turn_is_open:
            self._turn_is_open = True
            self._call_soon(self.end_turn)
            sender.leave()
            return
        self._senders.append(sender)
        if len(self._senders) >= MOST_SENDERS:
            self.leave()

    def end_turn(self) -> None:
        """The turn is over: all that waits leaves, and the next one begins."""
        self._turn_is_open = False
        self.leave()

    def leave(self) -> None:
        """Have all that wait write now."""
        senders, self._senders = self._senders, []
        for sender in senders:
            try:
                sender.leave()
            except Exception as error:  # noqa: BLE001  the others leave, and whoever added the last is not to blame
                self._call_soon(partial(_tell, error))


def _tell(error: Exception) -> None:
    """Have the loop report it."""
    raise error


class Outlet(Sender):
    """A client's transport, with the methods of one; its writes leave at the end of the turn."""

    __slots__ = ("_outbox", "_transport", "_waiting", "_write")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self._transport = transport
        self._write = transport.write
        self._outbox = outbox
        self._waiting = b""

    def write(self, data: bytes) -> None:
        """Write at the end of the turn."""
        if self._waiting:
            self._waiting += data
            if len(self._waiting) > MOST_BYTES:
                self.leave()
        else:
            self._waiting = data
            self._outbox.add(self)

    def write_now(self, data: bytes) -> None:
        """Write before anything else is done, behind what waits."""
        if self._waiting:
            self.leave()
        self._write(data)

    def leave(self) -> None:
        """Write what waits, if anything does."""
        data = self._waiting
        if data:
            self._waiting = b""
            self._write(data)

    def drop(self) -> None:
        """Nobody is there to write to any more."""
        self._waiting = b""

    def close(self) -> None:
        """Close after what has been written."""
        self.leave()
        self._transport.close()

    def abort(self) -> None:
        """Close at once: what waits is lost."""
        self._waiting = b""
        self._transport.abort()

    def write_eof(self) -> None:
        """Close the way out, after what has been written."""
        self.leave()
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        """Whether it has a way out that can be closed alone."""
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes that were written and have not left this process."""
        return len(self._waiting) + self._transport.get_write_buffer_size()
