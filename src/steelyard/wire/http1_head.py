"""HTTP/1.1 heads, bytes to values and values to bytes, so strict that no two readers can disagree.

llhttp (through httptools) reads the grammar; what it leaves to its user is checked here: control
bytes, bare line ends, folded lines, repeated or conflicting lengths, codings other than exactly
`chunked`, Host. A head is never copied through: the fields that travel on are collected one by one,
hop-by-hop fields left out (RFC 9110 section 7.6.1), and the head is written anew.

Cost: 5 µs for a request head of 11 fields, 2.8 µs of it in llhttp (benchmarks/results).
"""

import re
from dataclasses import dataclass, field

import httptools

from steelyard.model.errors import BadRequest, UpstreamError
from steelyard.wire.decimal_bytes import MAX_DIGITS
from steelyard.wire.host import is_host

HEAD_END = b"\r\n\r\n"

# Bytes that may stand in a head: visible ASCII, blank, tab, CR, LF, and obs-text in values.
_ALLOWED = bytes([9, 10, 13, *range(0x20, 0x7F), *range(0x80, 0x100)])

_SCHEME = re.compile(rb"https?://", re.IGNORECASE)
_TOKEN = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_EVENT_STREAMS = tuple(b"content-type: text/event-stream" + end for end in (b"\r", b";", b" ", b"\t"))
_SERVED_VERSIONS = (b" HTTP/1.1", b" HTTP/1.0")

# How long a client waits, in milliseconds: ours, and the one that Envoy sends.
TIMEOUT_FIELDS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")

# Fields that end at this hop, or that the gateway writes itself.
_OWN = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"te",
        b"trailer",
        b"upgrade",
        b"expect",
        b"x-request-id",
        b"forwarded",
        b"x-real-ip",
    )
)
# For, Proto, Host, Port, Prefix ...: only a believed proxy's are told further.
FORWARDED_PREFIX = b"x-forwarded-"


@dataclass(slots=True)
class Head:
    """What request and response heads share.

    lines: the end-to-end fields as they will be written on, each ending in CRLF.
    own: the fields that end here, by lower-case name; a repeated one is joined by a comma.
    content_length: bytes of the body, -1 when no length is given.
    """

    lines: list[bytes] = field(default_factory=list)
    own: dict[bytes, bytes] = field(default_factory=dict)
    content_length: int = -1
    chunked: bool = False
    keep_alive: bool = True
    minor_version: int = 1


@dataclass(slots=True)
class RequestHead(Head):
    """A client's request line and fields.

    timeout_s: how long the client waits for the whole answer, if it says so; else 0.
    https_only: the target is an https address, which is not to be answered over a connection in the open.
    """

    method: bytes = b"GET"
    target: bytes = b"/"
    timeout_s: float = 0.0
    https_only: bool = False

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends its body."""
        return self.minor_version == 1 and b"100" in self.own.get(b"expect", b"")


@dataclass(slots=True)
class ResponseHead(Head):
    """An engine's status line and fields.

    event_stream: the body is a stream of events that can be read.
    """

    status: int = 200
    event_stream: bool = False
    retry_after: bytes = b""


class _Fields:
    """Collects what llhttp calls back."""

    __slots__ = ("fields", "url")

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


class MalformedHead(ValueError):
    """A head that two readers could read differently, or that is not HTTP/1 at all."""


class UnknownCoding(MalformedHead):
    """Well-formed transfer codings of which only the last, chunked, is known here."""


def _check_bytes(head: bytes) -> None:
    if head.translate(None, _ALLOWED):
        raise MalformedHead("a control byte stands in the head")
    line_ends = head.count(b"\r\n")
    if head.count(b"\n") != line_ends or head.count(b"\r") != line_ends:
        raise MalformedHead("a CR or LF stands alone in the head")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise MalformedHead("a field is folded over two lines")


def _without_tabs_behind(head: bytes) -> bytes:
    """Blanks behind a value are no part of it (RFC 9110 section 5.5); llhttp stumbles over tabs there."""
    line, end, fields = head.partition(b"\r\n")
    return line + end + b"\r\n".join([each.rstrip(b" \t") for each in fields.split(b"\r\n")])


def _check_coding(coding: bytes) -> None:
    """Exactly chunked is known; section 6.1 of RFC 9112 tells what is wrong from what is not known."""
    if coding == b"chunked":
        return
    codings = [each.strip(b" \t") for each in coding.split(b",")]
    if codings.count(b"chunked") == 1 and codings[-1] == b"chunked" and all(map(_TOKEN.fullmatch, codings)):
        raise UnknownCoding("a transfer-coding beside chunked is not known")
    raise MalformedHead("transfer-encoding is not exactly chunked")


def _collect(head: Head, fields: list[tuple[bytes, bytes]]) -> None:
    """Sort fields into those that travel on and those that end here; read the body's framing."""
    lines, own = head.lines, head.own
    for name, value in fields:
        lower = name.lower()
        if not _ends_here(lower):
            # CGI and WSGI take an underscore for a dash: what looks like ours then goes no further.
            if not _ends_here(lower.replace(b"_", b"-")):
                lines.append(b"%b: %b\r\n" % (name, value))
            continue
        value = value.strip(b" \t")  # llhttp leaves the blanks behind a value
        if lower not in own:
            own[lower] = value
        elif lower in (b"host", b"content-length", b"transfer-encoding"):
            raise MalformedHead(f"{lower.decode()} is given twice")
        else:
            own[lower] += b", " + value
    if (length := own.get(b"content-length")) is not None:
        if not length.isdigit() or len(length) > MAX_DIGITS:
            raise MalformedHead("content-length is not a plain number")
        head.content_length = int(length)
    if (coding := own.get(b"transfer-encoding")) is not None:
        if head.content_length >= 0:
            raise MalformedHead("both content-length and transfer-encoding are given")
        _check_coding(coding.lower())
        head.chunked = True
    if (connection := own.get(b"connection")) is not None:
        _obey_connection(head, connection.lower())
    elif head.minor_version == 0:
        head.keep_alive = False


def _ends_here(name: bytes) -> bool:
    return name in _OWN or name.startswith(FORWARDED_PREFIX)


def _obey_connection(head: Head, connection: bytes) -> None:
    """Read whether the connection stays, and drop the fields that it names: they end at this hop."""
    tokens = [token.strip() for token in connection.split(b",")]
    head.keep_alive = b"close" not in tokens and (head.minor_version == 1 or b"keep-alive" in tokens)
    named = tuple(token + b":" for token in tokens if token not in (b"keep-alive", b"close", b""))
    if named:
        head.lines[:] = [line for line in head.lines if not line.lower().startswith(named)]


def parse_request_head(data: bytes, max_fields: int = 128) -> RequestHead:
    """Read one request head, from its first byte to its empty line.

    Raises BadRequest with status 400, 431 (too many fields), 501 (a method) or 505 (a version that is not
    served). What is wrong with the request line goes before what is wrong below it: of a head that comes in
    pieces the line is refused before the rest is there (`check_unfinished`), and the answer must be the same.
    """
    try:
        return _parsed_request(data, max_fields)
    except BadRequest:
        _check_request_line(data)
        raise


def _check_request_line(data: bytes) -> None:
    """Raises BadRequest for a request line that no fields could make good."""
    _parsed_request(data.partition(b"\r\n")[0] + b"\r\nHost: h\r\n\r\n", max_fields=1)


def _parsed_request(data: bytes, max_fields: int) -> RequestHead:
    collected = _Fields()
    parser = httptools.HttpRequestParser(collected)
    try:
        _check_bytes(data)
        try:
            parser.feed_data(_without_tabs_behind(data) if b"\t\r\n" in data else data)
        except httptools.HttpParserUpgrade:
            pass  # Upgrade ends at this hop: the request is answered as if it had not been offered.
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadRequest(f"HTTP/{version} is not served: use HTTP/1.1", http_status=505)
        line = data[: data.find(b"\r\n")]
        if line.count(b" ") != 2 or not line.endswith(_SERVED_VERSIONS):  # llhttp also reads ICE and RTSP
            raise MalformedHead("the request line is not a method, a target and HTTP/1.1")
        minor_version = 1 if version == "1.1" else 0
        head = RequestHead(method=parser.get_method(), target=collected.url, minor_version=minor_version)
        if len(collected.fields) > max_fields:
            raise BadRequest(f"more than {max_fields} header fields", http_status=431)
        _collect(head, collected.fields)
        _check_request(head)
        head.timeout_s = _timeout_s(collected.fields)
    except httptools.HttpParserInvalidMethodError as error:
        a_method = _TOKEN.fullmatch(data.partition(b" ")[0])
        raise BadRequest(f"malformed request: {error}", http_status=501 if a_method else 400) from None
    except UnknownCoding as error:
        raise BadRequest(str(error), http_status=501) from None
    except (MalformedHead, httptools.HttpParserError) as error:
        raise BadRequest(f"malformed request: {error}") from None
    return head


def _check_request(head: RequestHead) -> None:
    if not head.target.isascii():
        raise MalformedHead("the target holds a byte above 0x7f")
    if b"#" in head.target:
        raise MalformedHead("the target holds a fragment")
    if head.method in (b"CONNECT", b"TRACE"):
        raise BadRequest(f"{head.method.decode()} is not served", http_status=501)
    host = head.own.get(b"host")
    if host is not None and not is_host(host):
        raise MalformedHead("Host is not a host and a port")
    if not head.target.startswith(b"/") and not (head.method == b"OPTIONS" and head.target == b"*"):
        if not _SCHEME.match(head.target):
            raise MalformedHead("the target is neither a path nor an absolute http address")
        _take_authority(head)
    if head.minor_version == 1:
        if host is None:
            raise MalformedHead("Host is missing")
    elif head.chunked:
        raise MalformedHead("an HTTP/1.0 request cannot be chunked")
    _check_expectation(head)


def _check_expectation(head: RequestHead) -> None:
    """Of expectations 100-continue alone is met; in HTTP/1.0 none counts (RFC 9110 section 10.1.1)."""
    expect = head.own.get(b"expect")
    if expect is None or head.minor_version == 0:
        return
    if any(each.strip(b" \t").lower() not in (b"", b"100-continue") for each in expect.split(b",")):
        raise BadRequest("an expectation other than 100-continue cannot be met", http_status=417)


def _timeout_s(fields: list[tuple[bytes, bytes]]) -> float:
    """The least time that any of the fields gives; what is no whole number of milliseconds gives none."""
    given = [value for name, value in fields if name.lower() in TIMEOUT_FIELDS]
    return min([int(value) / 1000 for value in given if value.isdigit() and len(value) <= 9], default=0.0)


def _take_authority(head: RequestHead) -> None:
    """An absolute target names the host, whatever Host says (RFC 9112 section 3.2.2); its path remains."""
    scheme, _, rest = head.target.partition(b"//")
    head.https_only = scheme.lower() == b"https:"
    ends = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
    end = min(ends, default=len(rest))
    authority = rest[:end]
    if not is_host(authority):
        raise MalformedHead("the target's authority is not a host and a port")
    if b"host" in head.own:
        head.own[b"host"] = authority
    if end == len(rest) and head.method == b"OPTIONS":
        head.target = b"*"  # section 3.2.4: of the server as a whole
    else:
        head.target = rest[end:] if rest[end : end + 1] == b"/" else b"/" + rest[end:]


def check_unfinished(data: bytes, seen: int) -> None:
    """Refuse what can no longer become a head, before it has an end. seen: bytes that were looked at before.

    Looks at the new bytes only, and at the request line once it is whole: who speaks another protocol is told
    at once. Raises BadRequest as `parse_request_head`.
    """
    start = seen - 1 if seen and data[seen - 1] == 0x0D else seen
    new = data[start:]
    line_ends = new.count(b"\r\n")
    if line_ends and data.find(b"\r\n") >= start:
        _check_request_line(data)
    if new.translate(None, _ALLOWED):
        raise BadRequest("malformed request: a control byte stands in the head")
    if new.count(b"\n") != line_ends or new.count(b"\r") - new.endswith(b"\r") != line_ends:
        raise BadRequest("malformed request: a CR or LF stands alone in the head")


def check_unfinished_answer(data: bytes) -> None:
    """Refuse what can no longer become an engine's head, before it has an end. Raises UpstreamError."""
    if not b"HTTP/1.".startswith(data[:7]):
        raise UpstreamError("the answer is not HTTP/1")
    if data.count(b"\n") != data.count(b"\r\n"):  # with LF alone it would have no end for ever
        raise UpstreamError("malformed response head: an LF stands alone in the head")


def parse_response_head(data: bytes, max_fields: int = 256) -> ResponseHead:
    """Read one response head, from its first byte to its empty line.

    Raises UpstreamError for anything that is not one strict HTTP/1 response head.
    """
    collected = _Fields()
    parser = httptools.HttpResponseParser(collected)
    try:
        _check_bytes(data)
        try:
            parser.feed_data(_without_tabs_behind(data) if b"\t\r\n" in data else data)
        except httptools.HttpParserUpgrade:
            pass  # A 101 that nobody asked for: refused by the caller on its status.
        minor_version = 1 if parser.get_http_version() == "1.1" else 0
        head = ResponseHead(status=parser.get_status_code(), minor_version=minor_version)
        if not data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or not 100 <= head.status <= 599:
            raise MalformedHead("the status line is not HTTP/1.1 or 1.0 with a status from 100 to 599")
        if len(collected.fields) > max_fields:
            raise MalformedHead(f"more than {max_fields} header fields")
        _collect(head, collected.fields)
        if head.chunked and minor_version == 0:
            raise MalformedHead("an HTTP/1.0 answer cannot be chunked")
    except (MalformedHead, httptools.HttpParserError) as error:
        raise UpstreamError(f"malformed response head: {error}") from None
    encoded = False
    for line in head.lines:
        first = line[:1]
        if first in (b"c", b"C"):
            lower = line.lower()
            head.event_stream |= lower.startswith(_EVENT_STREAMS)
            encoded |= lower.startswith(b"content-encoding:") and lower[17:].strip() != b"identity"
        elif first in (b"r", b"R") and line[:12].lower() == b"retry-after:":
            head.retry_after = line[12:].strip()
    head.event_stream &= not encoded  # its events cannot be read, and none can be put behind them
    return head
