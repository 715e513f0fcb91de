"""Style sheet, script, charts, icon: read once, named by their content, kept by browsers for a year."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. version: of its content."""

    body: bytes
    content_type: bytes
    version: str

    @property
    def etag(self) -> bytes:
        """As a field's value."""
        return b'"%b"' % self.version.encode()


@cache
def assets() -> dict[str, Asset]:
    """All files that pages load, by name."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            version = hashlib.blake2b(body, digest_size=8).hexdigest()
            found[path.name] = Asset(body, _TYPES[path.suffix], version)
    return found


def address(name: str) -> str:
    """Where a page finds a file; another content has another address."""
    return f"/console/assets/{name}?v={assets()[name].version}"
