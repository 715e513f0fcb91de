"""Amounts as people write them: "2GiB", "500MB", "1.5h", or plain numbers."""

import math
import re

from steelyard.model.errors import ConfigError

_BYTES = {
    "": 1, "B": 1,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
MAX_CHARACTERS = 40
_AMOUNT = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][0-9]+)?)\s*([A-Za-z]*)\s*")


def bytes_of(value: float | str, name: str) -> float:
    """Bytes. Raises ConfigError."""
    return _amount(value, name, _BYTES, '"512MiB", "2GB" or a number of bytes')


def seconds_of(value: float | str, name: str) -> float:
    """Seconds. Raises ConfigError."""
    return _amount(value, name, _SECONDS, '"90s", "5m", "1.5h" or a number of seconds')


def number_of(value: float, name: str) -> float:
    """A count, be it broken. Raises ConfigError."""
    if not 0 <= value < math.inf:
        right = "0 or more" if value < 0 else "a finite number"
        raise ConfigError(f"{name} is {value}: it must be {right}")
    return float(value)


def _amount(value: float | str, name: str, units: dict[str, int] | dict[str, float], like: str) -> float:
    if isinstance(value, str):
        found = _AMOUNT.fullmatch(value.removesuffix("/s")) if len(value) <= MAX_CHARACTERS else None
        if found is None or found[2] not in units:
            raise ConfigError(f"{name} is {value[:MAX_CHARACTERS]!r}: write {like}")
        value = float(found[1]) * units[found[2]]
    return number_of(value, name)
