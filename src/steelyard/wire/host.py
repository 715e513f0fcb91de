"""Whether a value names a host: what Host, a target's authority and X-Forwarded-Host may say.

RFC 9112 section 3.2 wants 400 for a Host that is none. An empty one is none: `http` and `https` have no
address without a host (RFC 9110 section 4.2), so that two readers would fill it in differently. A comma is
left out of what RFC 3986 allows in a name, since a reader may take it for two hosts.
"""

import re
from ipaddress import IPv6Address
from typing import Final

# A name, an address, or an IPv6 address in brackets, and perhaps a port (RFC 3986 section 3.2).
_HOST: Final = re.compile(
    rb"(?:\[([0-9a-fA-F:.]+)\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9a-fA-F]{2})+)(?::([0-9]{0,5}))?"
)
MAX_PORT: Final = 65_535


def is_host(value: bytes) -> bool:
    """Whether a field may say that this is the host, with or without a port."""
    found = _HOST.fullmatch(value)
    if found is None or int(found[2] or 0) > MAX_PORT:
        return False
    return found[1] is None or _is_ipv6(found[1].decode())


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
