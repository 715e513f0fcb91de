"""TLS contexts: for the ports in front, whose certificates may change while they serve, and to engines.

A changed certificate is taken up by building a whole new context (which fails on a key that does not fit)
and handing it to each handshake that begins from then on; connections that are open keep theirs. The
hand-over is the server-name callback, which OpenSSL calls for every handshake, with a name or without.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from steelyard.config.access import EngineAccessOptions, TlsOptions
from steelyard.model.errors import ConfigError
from steelyard.runtime.private_file import read_private

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def _front(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[options.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, options.certificate_file, options.key_file)
    if options.client_ca_file:
        _load_authorities(context, options.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_chain(context: ssl.SSLContext, certificate_file: str, key_file: str) -> None:
    try:
        # An encrypted key would make OpenSSL ask at the terminal: say no instead.
        context.load_cert_chain(certificate_file, key_file, password=lambda: "")
    except ssl.SSLError as error:
        reason = error.reason or "it is not PEM, or the key is encrypted"
        raise ConfigError(f"cannot use {certificate_file} with {key_file}: {reason}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {certificate_file} or {key_file}: {error.strerror}") from None


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ConfigError(f"cannot use {path}: {error.reason or 'it holds no PEM certificate'}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


class FrontTls:
    """A listening port's context, and its successors."""

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._seen = self._state()
        self._current = _front(options)
        self.context = self._current  # what the port is opened with
        self.context.sni_callback = self._hand_over

    def _hand_over(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> None:
        if connection.context is not self._current:
            connection.context = self._current

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        state = []
        for path in (self._options.certificate_file, self._options.key_file, self._options.client_ca_file):
            try:
                found = os.stat(path)
                state.append((found.st_mtime_ns, found.st_size, found.st_ino))
            except OSError:
                state.append((0, 0, 0))
        return tuple(state)

    def refresh(self) -> bool:
        """Take up changed files; whether there were any. Raises ConfigError, and keeps what it has."""
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state  # also when it fails: one complaint a change
        self._current = _front(self._options)
        return True


def engine_context(options: EngineAccessOptions) -> ssl.SSLContext:
    """For connections to engines: verified, unless told otherwise. Raises ConfigError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if options.ca_file:
        # Only these, not the system's as well: an operator who names an authority means no other.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        _load_authorities(context, options.ca_file)
    if options.certificate_file:
        _load_chain(context, options.certificate_file, options.certificate_key_file)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def engine_key(options: EngineAccessOptions) -> bytes:
    """The engines' own key, b"" for none. Raises ConfigError when it is named and not there."""
    if options.api_key_file:
        key = read_private(Path(options.api_key_file), "pools.engine.api_key_file")
    elif options.api_key_env:
        key = os.environ.get(options.api_key_env, "").strip().encode()
        if not key:
            raise ConfigError(f"pools.engine.api_key_env names {options.api_key_env}, which is not set")
    else:
        return b""
    if not key.isascii() or not key.decode("ascii").isprintable() or b" " in key:
        raise ConfigError("the engines' key holds a blank, a control or a non-ASCII character")
    return key


@dataclass(frozen=True, slots=True)
class EngineLink:
    """What it takes to speak to a pool's engines beside their address.

    context: None for http. server_name: the name that the certificate must hold. key: b"" for none.
    """

    context: ssl.SSLContext | None = None
    server_name: str | None = None
    key: bytes = b""

    @classmethod
    def to(cls, url: str, options: EngineAccessOptions) -> "EngineLink":
        """Read what is needed for a url. Raises ConfigError when it cannot be read."""
        parts = urlsplit(url)
        if parts.scheme != "https":
            return cls(key=engine_key(options))
        return cls(engine_context(options), options.server_name or parts.hostname, engine_key(options))

    @property
    def key_line(self) -> bytes:
        """The field that shows the key, without its CRLF; b"" for none."""
        return b"Authorization: Bearer " + self.key if self.key else b""


NO_LINK = EngineLink()


def port_of(url: str) -> int:
    """The port that a url names, or its scheme's."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
