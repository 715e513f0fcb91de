"""What a request head means to this gateway: where it leads, and how it travels on.

Made once for each different head and kept (`wire/head_memo.py`), so that a request of a known head costs no
parsing, no routing by path, and no writing of fields.
"""

from dataclasses import dataclass, field
from typing import Final

from steelyard.gateway.routes import Pool, Routes
from steelyard.model.request import Request
from steelyard.wire.decimal_bytes import decimal
from steelyard.wire.head_memo import HeadMemo
from steelyard.wire.http1_head import RequestHead, parse_request_head
from steelyard.wire.openai import BYTES_PER_TOKEN, read_inference

MAX_REQUEST_ID_BYTES: Final = 128
_REQUEST_ID: Final = b"X-Request-Id: "
_LENGTH: Final = b"\r\nContent-Length: "
_HEAD_END: Final = b"\r\n\r\n"
KEY_FIELDS: Final = (b"authorization:", b"x-api-key:")
Place = tuple[bytes, bytes]  # where a replica is: authority, path prefix
MAX_STARTS: Final = 16  # kept for each head: heads are many and may be long


@dataclass
class RequestPlan:
    """One head, understood.

    pool: None when no route matches.
    lists_models: the gateway answers by itself, with the models of all replicas.
    reads_inference: the body is read for model and prompt.
    keeps_streams: a streamed answer goes on when its engine is lost.
    affinity: what a hash ring or a sticky session holds on to; "" for nothing.
    request_id: the client's own, if it gave one that may be used; else empty.
    authorization: the key that the client showed, as it wrote it; b"" for none.
    ends_here: an OPTIONS that asks the gateway itself.
    has_length: the client said how long the body is, or would say so chunk by chunk.
    fields: the field lines that travel on.
    """

    head: RequestHead
    pool: Pool | None
    lists_models: bool
    reads_inference: bool
    keeps_streams: bool
    affinity: str
    request_id: bytes
    method: bytes
    target: bytes
    fields: bytes
    is_head: bool
    has_length: bool
    chunked: bool
    keep_alive: bool
    minor_version: int
    authorization: bytes
    ends_here: bool
    _starts: dict[Place, bytes] = field(default_factory=dict)  # head up to its variable part, by replica

    def understand(self, body: bytes, tenant: str = "") -> Request:
        """What the policies may know of a request. Raises BadRequest for a body that is not JSON.

        tenant: what prefix hashes are keyed with.
        """
        if self.reads_inference and body:
            request = read_inference(body, tenant, affinity_key=self.affinity)
            if self.pool is not None and self.pool.sees is not None:
                self.pool.sees(request, body)
            return request
        return Request(prompt_tokens=len(body) // BYTES_PER_TOKEN, affinity_key=self.affinity)

    def head_bytes(self, place: Place, forwarding: bytes, request_id: bytes, body_bytes: int) -> bytes:
        """The request's head, written anew; a chunked body goes on with its length.

        forwarding: field lines that say for whom, each ending in CRLF.
        """
        start = self._starts.get(place)
        if start is None:
            start = self._start_for(place)
        if body_bytes or self.has_length:
            length = decimal(body_bytes)
            parts = (start, forwarding, _REQUEST_ID, request_id, _LENGTH, length, _HEAD_END)
            return b"".join(parts)
        return b"".join((start, forwarding, _REQUEST_ID, request_id, _HEAD_END))

    def _start_for(self, place: Place) -> bytes:
        authority, path_prefix = place
        if len(self._starts) >= MAX_STARTS:
            self._starts.clear()
        line = b"%b %b%b HTTP/1.1\r\nHost: %b\r\n" % (self.method, path_prefix, self.target, authority)
        fields = self.fields
        if b"\r\n" in authority:
            # These engines have a key of their own: the client's never reaches them, whichever pool the
            # head was understood for.
            kept = fields.splitlines(keepends=True)
            fields = b"".join([each for each in kept if not each.lower().startswith(KEY_FIELDS)])
        start = self._starts[place] = line + fields
        return start


def _shown_key(lines: list[bytes]) -> bytes:
    """The value of the field that shows a key; two that differ show none that could be believed."""
    shown = {line.partition(b":")[2].strip() for line in lines if line.lower().startswith(KEY_FIELDS)}
    return shown.pop() if len(shown) == 1 else b""


def _one_forward_less(lines: list[bytes]) -> tuple[list[bytes], int]:
    """Lines in which Max-Forwards is one less, and what it was, -1 for none (RFC 9110 section 7.6.2)."""
    kept, least = [], -1
    for line in lines:
        value = line.partition(b":")[2].strip()
        if line[:13].lower() == b"max-forwards:" and value.isdigit() and len(value) < 10:
            least = int(value)
            line = b"Max-Forwards: %d\r\n" % max(0, least - 1)
        kept.append(line)
    return kept, least


def plan_of(head: RequestHead, routes: Routes) -> RequestPlan:
    """Understand a head."""
    own = head.own
    pool = routes.match(head.target, own.get(b"host", b""))
    given = own.get(b"x-request-id", b"")
    usable = given and len(given) <= MAX_REQUEST_ID_BYTES and given.isascii() and b" " not in given
    host = own.get(b"host", b"")
    lines = head.lines
    if pool is None or not pool.keeps_key:
        lines = [line for line in lines if not line.lower().startswith(KEY_FIELDS)]
    forwards, is_options = -1, head.method == b"OPTIONS"
    if is_options:
        lines, forwards = _one_forward_less(lines)
    via = b"Via: 1.%d steelyard\r\n" % head.minor_version  # behind the Via of those before us
    reads = pool is not None and pool.reads_bodies and head.method == b"POST" and pool.is_json(head)
    return RequestPlan(
        head=head,
        pool=pool,
        lists_models=pool is not None and pool.lists_models(head),
        reads_inference=reads,
        keeps_streams=reads and pool is not None and pool.keeps_streams(head),
        affinity=pool.affinity(head) if pool is not None else "",
        request_id=given if usable else b"",
        method=head.method,
        target=head.target,
        fields=b"".join(lines) + via + (b"X-Forwarded-Host: %b\r\n" % host if host else b""),
        is_head=head.method == b"HEAD",
        has_length=head.chunked or head.content_length >= 0,
        chunked=head.chunked,
        keep_alive=head.keep_alive,
        minor_version=head.minor_version,
        authorization=_shown_key(head.lines),
        ends_here=is_options and (head.target == b"*" or forwards == 0),
    )


def plans(routes: Routes, max_fields: int) -> HeadMemo[RequestPlan]:
    """A reader of request heads for one configuration."""

    def parse(data: bytes) -> tuple[RequestPlan, int]:
        head = parse_request_head(data, max_fields)
        return plan_of(head, routes), head.content_length

    return HeadMemo(parse)
