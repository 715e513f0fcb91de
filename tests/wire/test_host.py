"""What names a host, and what does not."""

import pytest

from steelyard.wire.host import is_host


@pytest.mark.parametrize(
    "value",
    [
        b"h", b"H.example", b"h:80", b"h:", b"h:65535", b"127.0.0.1", b"[::1]", b"[::ffff:1.2.3.4]:8080",
        b"a_b", b"h%2d1", b"h.",
    ],
)  # fmt: skip
def test_a_name_or_an_address_with_or_without_a_port_is_a_host(value: bytes) -> None:
    assert is_host(value)


@pytest.mark.parametrize(
    "value",
    [
        b"", b":80", b" ", b"a b", b"a,b", b"h:65536", b"h:-1", b"h:x", b"h:1:2", b"u@h", b"h/x", b"h?x",
        b"h#x", b"http://h", b"h\\x", b"<h>", b"h\xe9", b"h%zz", b"h%2", b"::1", b"[::1", b"::1]", b"[]",
        b"[:::]", b"[1:2:3:4:5:6:7:8:9]", b"[12345::]", b"[1.2.3.4]", b"[::1]h", b"[xyz]", b"h\n",
        b"[fe80::1%25eth0]",
    ],
)  # fmt: skip
def test_anything_else_is_none(value: bytes) -> None:
    assert not is_host(value)
