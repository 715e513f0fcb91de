"""Ask a running gateway's admin port.

Where the port has a key or speaks TLS, two variables of the environment say how to get in, so that they
need not be repeated: `STEELYARD_ADMIN_KEY_FILE`, a file with the key, and `STEELYARD_ADMIN_CA_FILE`, whom
to trust.
"""

import json
import os
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from steelyard.model.errors import ConfigError, reason_of
from steelyard.runtime.private_file import read_private

DEFAULT_ADMIN = "http://127.0.0.1:9090"
KEY_FILE, CA_FILE = "STEELYARD_ADMIN_KEY_FILE", "STEELYARD_ADMIN_CA_FILE"
TIMEOUT_S = 10.0
ACTION_TIMEOUT_S = 120.0  # a reload starts new workers and waits for them


def read_admin(address: str, *path: str) -> Any:
    """The JSON on a page. address: HOST:PORT or a URL. Raises ConfigError with what the port says."""
    return _ask(address, path, "GET", TIMEOUT_S)


def read_metrics(address: str) -> str:
    """The metrics as text. Raises ConfigError with what the port says."""
    return str(_ask(address, ("metrics",), "GET", TIMEOUT_S, as_json=False))


def tell_admin(address: str, *path: str) -> Any:
    """Have something done; what the port says of it. Raises ConfigError with the reason of a refusal."""
    return _ask(address, path, "POST", ACTION_TIMEOUT_S)


def _ask(address: str, path: tuple[str, ...], method: str, timeout_s: float, as_json: bool = True) -> Any:
    base = address if "://" in address else f"http://{address}"
    if urlsplit(base).scheme not in ("http", "https"):
        raise ConfigError(f"--admin is {address!r}: it must be HOST:PORT or http://HOST:PORT")
    url = "/".join((base.rstrip("/"), *(quote(part, safe="") for part in path)))
    request = urllib.request.Request(url, method=method, headers=_key())
    try:
        with urllib.request.urlopen(request, timeout=timeout_s, context=_context(url)) as answer:
            return json.load(answer) if as_json else answer.read().decode()
    except urllib.error.HTTPError as error:
        raise ConfigError(_message(error)) from None
    except (OSError, ValueError, HTTPException) as error:
        reason = ascii(reason_of(getattr(error, "reason", None) or error)[:200])[1:-1].strip()
        raise ConfigError(
            f"cannot ask the gateway at {address}: {reason}: name its admin port with --admin"
        ) from None


def _key() -> dict[str, str]:
    path = os.environ.get(KEY_FILE)
    if not path:
        return {}
    return {"Authorization": f"Bearer {read_private(Path(path), KEY_FILE).decode('latin-1')}"}


def _context(url: str) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    return ssl.create_default_context(cafile=os.environ.get(CA_FILE) or None)


def _message(error: urllib.error.HTTPError) -> str:
    """The sentence that the port answered with."""
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the admin port answered {error.code}"
