"""W3C Trace Context: whose trace a request belongs to, read and written as the recommendation has it.

https://www.w3.org/TR/trace-context/. A `traceparent` that is not valid is as good as none, and its
`tracestate` goes with it. Ids that begin here are xxh3 of a secret of the process and of what only this
request has, so nothing has to be kept for a request while it runs.
"""

import re
from dataclasses import dataclass

import xxhash

MAX_STATE_BYTES = 512
SAMPLED, RANDOM = 0x01, 0x02
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class TraceParent:
    """What a client's head says."""

    trace_id: int
    span_id: int
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether the client records its part."""
        return bool(self.flags & SAMPLED)


def parse(value: bytes) -> TraceParent | None:
    """A `traceparent`; None when it is not valid. Later versions may say more behind what is known."""
    found = _PARENT.fullmatch(value.strip())
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    trace_id, span_id = int(found[2], 16), int(found[3], 16)
    if not trace_id or not span_id:
        return None
    return TraceParent(trace_id, span_id, int(found[4], 16))


def write(trace_id: int, span_id: int, flags: int) -> bytes:
    """The field line, ending in CRLF."""
    return b"traceparent: 00-%032x-%016x-%02x\r\n" % (trace_id, span_id, flags)


class TraceIds:
    """Ids of one worker. secret: of this process, so that no two make the same."""

    def __init__(self, secret: bytes, sample_ratio: float) -> None:
        self._secret = secret
        self._bound = round(sample_ratio * (1 << 64))

    def trace_id(self, request_id: bytes, started_s: float) -> int:
        """Of a request that brought none: 128 bits, never 0."""
        key = b"%b %b %b" % (self._secret, request_id, repr(started_s).encode())
        return xxhash.xxh3_128_intdigest(key) or 1

    def span_id(self, request_id: bytes, started_s: float, part: bytes) -> int:
        """Of a part of a request: 64 bits, never 0."""
        key = b"%b %b %b %b" % (self._secret, request_id, repr(started_s).encode(), part)
        return xxhash.xxh3_64_intdigest(key) or 1

    def sampled(self, parent: TraceParent | None, trace_id: int) -> bool:
        """Whether spans are made: as the client has it, else by the trace's own low bits."""
        return parent.sampled if parent is not None else trace_id & 0xFFFF_FFFF_FFFF_FFFF < self._bound
