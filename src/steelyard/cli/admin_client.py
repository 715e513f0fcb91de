"""GET a page of a running gateway's admin port."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

from steelyard.model.errors import ConfigError

DEFAULT_ADMIN = "http://127.0.0.1:9090"
TIMEOUT_S = 10.0


def read_admin(address: str, *path: str) -> Any:
    """The JSON on a page. address: HOST:PORT or a URL. Raises ConfigError with what the port says."""
    base = address if "://" in address else f"http://{address}"
    if urlsplit(base).scheme not in ("http", "https"):
        raise ConfigError(f"--admin is {address!r}: it must be HOST:PORT or http://HOST:PORT")
    url = "/".join((base.rstrip("/"), *(quote(part, safe="") for part in path)))
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ConfigError(_message(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ConfigError(
            f"cannot ask the gateway at {address}: {reason}: name its admin port with --admin"
        ) from None


def _message(error: urllib.error.HTTPError) -> str:
    """The sentence that the port answered with."""
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the admin port answered {error.code}"
