"""What a worker is told when it starts: the configuration, and its place among what is shared."""

import msgspec

from steelyard.config.schema import Configuration


class WorkerStart(msgspec.Struct, frozen=True, kw_only=True):
    """The first message on a worker's standard input, as JSON.

    limit_row: its row of the limit page. limit_slots: a slot a limited subject.
    """

    configuration: Configuration
    limit_descriptor: int
    limit_rows: int
    limit_row: int
    limit_slots: dict[str, int]


_decoder = msgspec.json.Decoder(WorkerStart)


def encode(start: WorkerStart) -> bytes:
    """To bytes."""
    return msgspec.json.encode(start)


def decode(data: bytes) -> WorkerStart:
    """From bytes."""
    return _decoder.decode(data)
