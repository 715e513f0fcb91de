"""Whole answers of the console, with the fields that keep a browser from being fooled.

Referrer-Policy is `same-origin`, not `no-referrer`: under the latter browsers send `Origin: null` with a
form, and the admin port would refuse its own page.
"""

from http import HTTPStatus

import msgspec

CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
GUARDS = (
    b"Content-Security-Policy: %b\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"X-Frame-Options: DENY\r\n"
    b"Referrer-Policy: same-origin\r\n"
    b"Cross-Origin-Opener-Policy: same-origin\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\n"
) % CONTENT_SECURITY_POLICY
NO_STORE = b"Cache-Control: no-store\r\n"
HTML, JSON, TEXT = b"text/html; charset=utf-8", b"application/json", b"text/plain; charset=utf-8"


def whole(
    status: int, body: bytes, content_type: bytes = HTML, *, extra: bytes = NO_STORE, head_only: bool = False
) -> bytes:
    """An answer in one piece. extra: more field lines, each ending in CRLF."""
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        HTTPStatus(status).phrase.encode(),
        content_type,
        len(body),
        GUARDS,
        extra,
        b"" if head_only else body,
    )


def as_json(status: int, value: object, *, head_only: bool = False) -> bytes:
    """JSON."""
    return whole(status, msgspec.json.encode(value), JSON, head_only=head_only)


def unchanged(extra: bytes) -> bytes:
    """What the browser has is still so. Without a length: a 304's would be the file's (RFC 9110, 8.6)."""
    return b"HTTP/1.1 304 Not Modified\r\n%b%b\r\n" % (GUARDS, extra)


def redirect(address: str, extra: bytes = b"") -> bytes:
    """Go there, with GET. address: of ours, never a caller's words."""
    return whole(303, b"", TEXT, extra=b"Location: %b\r\n" % address.encode() + NO_STORE + extra)


def stream_head() -> bytes:
    """Of server-sent events. The end of the answer is the end of the connection."""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
        + GUARDS
        + NO_STORE
        + b"\r\n"
    )


def event(name: str, value: object) -> bytes:
    """One server-sent event; JSON has no line ends of its own."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(value))
