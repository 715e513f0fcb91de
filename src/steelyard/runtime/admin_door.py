"""Who may use the admin port, and how a browser proves it: the port's key, a session, a token in each form.

Programs show the key itself, as a bearer token. A browser cannot, so it gives the key once and gets a cookie:
when it ends, a random part, and a MAC of both. Nothing is stored, so a session outlives a reload and an
upgrade, and ends when the key changes. A form carries a token bound to the session: a page of another origin
can make a browser send the cookie (SameSite stops most of that), but cannot read the token. Without a
key there is no session, and the token is bound to the process.
"""

import hashlib
import hmac
import secrets
import time

SESSION_S = 12 * 3600.0
MAX_LEFT = 1024  # sessions that ended early and are remembered as such
COOKIE = b"steelyard_console"


class Door:
    """The door of one admin port. key: b"" for a port that asks for none."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        secret = key or secrets.token_bytes(32)
        self._session_secret = hashlib.blake2b(secret, person=b"session").digest()
        self._token_secret = hashlib.blake2b(secret, person=b"token").digest()
        self._left: dict[bytes, None] = {}

    @property
    def has_key(self) -> bool:
        """Whether anything must be shown."""
        return bool(self._key)

    def fits(self, key: bytes) -> bool:
        """Whether this is the key, in constant time."""
        return bool(self._key) and hmac.compare_digest(key, self._key)

    def begin_session(self) -> bytes:
        """A new session's cookie value."""
        body = b"%d.%b" % (time.time() + SESSION_S, secrets.token_urlsafe(18).encode())
        return body + b"." + self._mac(self._session_secret, body)

    def knows(self, session: bytes) -> bool:
        """Whether a cookie's value is a session of ours that has not ended."""
        body, _, mac = session.rpartition(b".")
        ends, _, _ = body.partition(b".")
        right = hmac.compare_digest(mac, self._mac(self._session_secret, body))
        return right and ends.isdigit() and int(ends) > time.time() and session not in self._left

    def end_session(self, session: bytes) -> None:
        """Believe this one no more."""
        if self.knows(session):
            if len(self._left) >= MAX_LEFT:
                del self._left[next(iter(self._left))]
            self._left[session] = None

    def token(self, session: bytes) -> str:
        """What the forms of a page carry."""
        return self._mac(self._token_secret, session).decode()

    def token_fits(self, session: bytes, token: str) -> bool:
        """Whether a form came from a page of ours."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token(session).encode())

    @staticmethod
    def _mac(secret: bytes, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=secret, digest_size=24).hexdigest().encode()
