"""What an engine is told of the client: X-Forwarded-For, X-Forwarded-Proto, and Forwarded (RFC 7239).

A stranger's own words about where it came from are dropped. A proxy that the operator named is believed:
what it says is kept, and what this gateway sees of it is put behind. X-Forwarded-Host is the Host that came
here, unless such a proxy says which one came to it.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Final

from steelyard.wire.host import is_host
from steelyard.wire.http1_head import FORWARDED_PREFIX

_WRITTEN: Final = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")


class TrustedProxies:
    """The addresses that are believed. networks: addresses or networks, as in the configuration."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ip_network(text, strict=False) for text in networks]

    def has(self, peer: str) -> bool:
        """Whether a peer is believed."""
        if not self._networks:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address.version == network.version and address in network for network in self._networks)


def lines(peer: str, scheme: bytes) -> bytes:
    """What is said of a client that nobody vouches for; each line ends in CRLF."""
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nForwarded: %b\r\n" % (
        peer.encode(),
        scheme,
        _element(peer, scheme),
    )


def lines_behind(peer: str, scheme: bytes, own: Mapping[bytes, bytes]) -> bytes:
    """The same for a proxy that is believed. own: the fields of its request that end here."""
    given = own.get(b"x-forwarded-proto", b"").strip().lower()
    others = [
        b"%b: %b\r\n" % (name.title(), value)
        for name, value in own.items()
        if name.startswith(FORWARDED_PREFIX) and name not in _WRITTEN
    ]
    return b"%bX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nForwarded: %b\r\n" % (
        b"".join(others),
        _behind(own.get(b"x-forwarded-for", b""), peer.encode()),
        given if given in (b"http", b"https") else scheme,
        _behind(own.get(b"forwarded", b""), _element(peer, scheme)),
    )


def with_host(request: bytes, own: Mapping[bytes, bytes]) -> bytes:
    """A request's head as it is written on, with the X-Forwarded-Host that a believed proxy gave."""
    given = own.get(b"x-forwarded-host", b"")
    if not given or not is_host(given):
        return request
    line = b"\r\nX-Forwarded-Host: %b\r\n"
    return request.replace(line % own.get(b"host", b""), line % given, 1)


def _behind(given: bytes, ours: bytes) -> bytes:
    return b"%b, %b" % (given, ours) if given.strip() else ours


def _element(peer: str, scheme: bytes) -> bytes:
    """One hop of Forwarded; an IPv6 address stands in brackets and quotes."""
    name = f'"[{peer}]"' if ":" in peer else peer or "unknown"
    return b"for=%b;proto=%b" % (name.encode(), scheme)
