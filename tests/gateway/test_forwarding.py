"""Where a request came from, as an engine is told."""

import pytest

from steelyard.gateway.forwarding import TrustedProxies, lines, lines_behind, with_host


@pytest.mark.parametrize(
    ("peer", "element"),
    [
        ("10.1.2.3", b"for=10.1.2.3"),
        ("::1", b'for="[::1]"'),
        ("", b"for=unknown"),
    ],
)
def test_forwarded_names_the_peer_as_rfc_7239_writes_it(peer: str, element: bytes) -> None:
    assert lines(peer, b"http").endswith(b"Forwarded: %b;proto=http\r\n" % element)


def test_a_believed_proxy_is_put_behind_what_it_says() -> None:
    own = {b"x-forwarded-for": b"1.1.1.1", b"x-forwarded-proto": b"https", b"forwarded": b"for=1.1.1.1"}
    assert lines_behind("10.0.0.9", b"http", own) == (
        b"X-Forwarded-For: 1.1.1.1, 10.0.0.9\r\nX-Forwarded-Proto: https\r\n"
        b"Forwarded: for=1.1.1.1, for=10.0.0.9;proto=http\r\n"
    )
    assert lines_behind("10.0.0.9", b"http", {}) == lines("10.0.0.9", b"http")
    assert b"Proto: http\r\n" in lines_behind("::1", b"http", {b"x-forwarded-proto": b"gopher"})


def test_addresses_and_networks_are_believed_and_others_are_not() -> None:
    trusted = TrustedProxies(["10.0.0.0/8", "::1"])
    assert [trusted.has(peer) for peer in ("10.9.9.9", "::1", "11.0.0.1", "::2", "", "nonsense")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


def test_a_believed_proxys_host_takes_the_place_of_ours() -> None:
    request = (
        b"GET / HTTP/1.1\r\nHost: engine\r\nA: X-Forwarded-Host: h\r\nX-Forwarded-Host: h\r\nB: c\r\n\r\n"
    )
    own = {b"host": b"h", b"x-forwarded-host": b"shop.example:8443"}
    assert with_host(request, own) == request.replace(
        b"\r\nX-Forwarded-Host: h", b"\r\nX-Forwarded-Host: shop.example:8443"
    )
    for given in (b"", b"a, b", b"h/path"):
        assert with_host(request, own | {b"x-forwarded-host": given}) == request
