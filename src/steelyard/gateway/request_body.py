"""A request's body that comes in pieces: its framing, its limits, and the time that it has.

Most bodies come with their head and never see this.
"""

from steelyard.config.schema import LimitOptions
from steelyard.gateway.request_plan import RequestPlan
from steelyard.model.errors import BadRequest
from steelyard.wire.chunked import ChunkedReader, MalformedChunk


class RequestBody:
    """One body on its way.

    rest: bytes behind the body, once it is complete. deadline_s: when it must have come further.
    """

    __slots__ = ("_begun_s", "_chunks", "_left", "_limits", "_payload", "deadline_s", "plan", "rest")

    def __init__(self, plan: RequestPlan, length: int, limits: LimitOptions, now_s: float) -> None:
        """length: as the head says it; of no meaning when it is chunked. Raises BadRequest."""
        if length > limits.max_body_bytes:
            raise too_long(limits.max_body_bytes)
        self.plan = plan
        self._limits = limits
        self._left = length
        self._chunks = ChunkedReader() if plan.chunked else None
        self._payload = bytearray()  # no list: pieces of a few bytes would take twenty times their size
        self._begun_s = now_s
        self.deadline_s = now_s + limits.client_body_timeout_s
        self.rest = b""

    def feed(self, data: bytes, now_s: float) -> bool:
        """Take the next bytes; whether the body is complete. Raises BadRequest."""
        announced, chunks = 0, self._chunks
        if chunks is not None:
            try:
                payload = chunks.feed(data)
            except MalformedChunk as error:
                raise BadRequest(f"malformed request: {error}") from None
            done, self.rest, announced = chunks.done, chunks.rest, chunks.announced
        else:
            payload = data if len(data) <= self._left else data[: self._left]
            self._left -= len(payload)
            done, self.rest = self._left == 0, data[len(payload) :]
        if len(self._payload) + len(payload) + announced > self._limits.max_body_bytes:
            raise too_long(self._limits.max_body_bytes)
        if payload:
            self._payload += payload
            self._grant_time(now_s)
        return done

    def _grant_time(self, now_s: float) -> None:
        """It may take as long as it comes on, and at no less than the least rate over all of it."""
        timeout_s, least = self._limits.client_body_timeout_s, self._limits.min_body_bytes_per_s
        self.deadline_s = now_s + timeout_s
        if least:
            owed_s = self._begun_s + timeout_s + len(self._payload) / least
            self.deadline_s = min(self.deadline_s, owed_s)

    def whole(self) -> bytes:
        """All of it."""
        return bytes(self._payload)


def too_long(limit_bytes: int) -> BadRequest:
    """The refusal of a body beyond the limit."""
    return BadRequest(f"the body is over {limit_bytes} bytes", http_status=413)
