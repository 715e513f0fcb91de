"""API keys: kept as keyed hashes, found by a public id, compared in constant time.

A key is `sk-steelyard-ID-SECRET`. The file holds, for each, its id, its tenant and BLAKE2b(key) keyed
with a secret from another file, so that neither file alone is worth stealing. A key that was right once is
found again by the exact bytes of its header field (a dict look-up, 0.1 µs); those are as many as there are
keys, times a few spellings, and no more. A wrong key costs one look-up, one hash and one comparison
whether or not its id exists, 2 µs, and leaves nothing behind.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from steelyard.config.access import KeyOptions
from steelyard.model.errors import ConfigError
from steelyard.runtime.private_file import make_secret, read_private, replace_private

PREFIX = "sk-steelyard-"
MAX_FIELD_BYTES = 512
SPELLINGS = 4
_NO_HASH = bytes(32)

Owner = TypeVar("Owner")


class StoredKey(msgspec.Struct):
    """One key as the file has it. Times are seconds since 1970; 0 is never."""

    id: str
    tenant: str
    hash: str
    created_s: int
    expires_s: int = 0
    revoked_s: int = 0

    def valid(self, unix_s: float) -> bool:
        """Whether it may be used."""
        return not self.revoked_s and not (self.expires_s and unix_s >= self.expires_s)


_file_decoder = msgspec.json.Decoder(list[StoredKey])


def _hash(key: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(key, key=secret[:64], digest_size=32).digest()


def _read(path: Path) -> list[StoredKey]:
    try:
        return _file_decoder.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"cannot read the key file {path}: {error.strerror}: make it with `steelyard keys add TENANT`"
        ) from None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"the key file {path} is not what `steelyard keys` writes: {error}") from None


class KeyRing(Generic[Owner]):
    """Whom a key belongs to. `owners` are the known tenants by name.

    found: the owners of keys that were right, by the bytes that showed them; the same dict for ever, emptied
        when any key changes.
    """

    __slots__ = ("_by_id", "_options", "_owners", "_secret", "_seen", "_stored", "found")

    def __init__(self, options: KeyOptions, owners: Mapping[str, Owner]) -> None:
        self._options = options
        self._owners = owners
        self._secret = read_private(Path(options.secret_path), "the secret of the keys")
        self._stored: list[StoredKey] = []
        self._by_id: dict[bytes, tuple[bytes, Owner]] = {}
        self.found: dict[bytes, Owner] = {}
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._load()
        self._index(time.time())

    def owner(self, authorization: bytes) -> Owner | None:
        """The tenant of an Authorization field (or of a bare key); None for a wrong one."""
        found = self.found.get(authorization)
        return found if found is not None else self._look_up(authorization)

    def _look_up(self, authorization: bytes) -> Owner | None:
        if len(authorization) > MAX_FIELD_BYTES:
            return None
        scheme, blank, key = authorization.partition(b" ")
        if not blank:
            key = scheme
        elif scheme.lower() != b"bearer":
            return None
        key = key.strip()
        known = self._by_id.get(key[len(PREFIX) :].partition(b"-")[0])
        # The same work for an unknown id: its absence must not show in the time taken.
        expected = known[0] if known is not None else _NO_HASH
        right = hmac.compare_digest(_hash(key, self._secret), expected)
        if known is None or not right:
            return None
        if len(self.found) >= SPELLINGS * len(self._by_id):
            self.found.clear()
        self.found[authorization] = known[1]
        return known[1]

    def refresh(self, unix_s: float | None = None) -> bool:
        """Take in a changed file and expired keys; whether a file was taken in. Call it once a second.

        unix_s: the calendar's time, by which keys expire; now, when it is not given.

        A file that cannot be read leaves the keys as they are: raises ConfigError.
        """
        if unix_s is None:
            unix_s = time.time()
        changed = self._state() != self._seen
        if changed:
            self._load()
        if changed or any(key.expires_s and not key.valid(unix_s) for key in self._stored):
            self._index(unix_s)
        return changed

    def _state(self) -> tuple[int, int, int]:
        try:
            state = os.stat(self._options.file)
        except OSError:
            return (0, 0, 0)
        return (state.st_mtime_ns, state.st_size, state.st_ino)

    def _load(self) -> None:
        self._seen = self._state()
        self._stored = _read(Path(self._options.file))

    def _index(self, unix_s: float) -> None:
        self._stored = [key for key in self._stored if key.valid(unix_s)]
        self._by_id = {
            key.id.encode(): (bytes.fromhex(key.hash), self._owners[key.tenant])
            for key in self._stored
            if key.tenant in self._owners
        }
        self.found.clear()

    def __len__(self) -> int:
        return len(self._by_id)


# --- what `steelyard keys` does ------------------------------------------------------------------


@contextmanager
def _changing(options: KeyOptions) -> Iterator[list[StoredKey]]:
    """The keys of a file, written back at the end; two commands at once wait for each other."""
    path = Path(options.file)
    make_secret(Path(options.secret_path))
    with open(options.secret_path, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stored = _read(path) if path.exists() else []
        yield stored
        replace_private(path, msgspec.json.format(msgspec.json.encode(stored), indent=1) + b"\n")


def add_key(options: KeyOptions, tenant: str, unix_s: int, expires_s: int = 0) -> tuple[str, str]:
    """Make a key: (id, the key itself, which is kept nowhere). Raises ConfigError."""
    with _changing(options) as stored:
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = f"{PREFIX}{key_id}-{secret}"
        server_secret = read_private(Path(options.secret_path), "the secret of the keys")
        digest = _hash(key.encode(), server_secret).hex()
        stored.append(StoredKey(key_id, tenant, digest, unix_s, expires_s))
    return key_id, key


def revoke_key(options: KeyOptions, key_id: str, unix_s: int) -> StoredKey:
    """Make a key useless; gateways notice within a second. Raises ConfigError for an unknown id."""
    with _changing(options) as stored:
        for key in stored:
            if key.id == key_id:
                key.revoked_s = key.revoked_s or unix_s
                return key
        raise ConfigError(f"there is no key with the id {key_id[:80]!r}: `steelyard keys list` shows them")


def list_keys(options: KeyOptions) -> list[StoredKey]:
    """All keys, also those that were revoked. Raises ConfigError."""
    return _read(Path(options.file))
