"""Checks that several tables of the configuration need. Each raises ConfigError, naming key and remedy."""

import math

from steelyard.model.errors import ConfigError


def require(condition: bool, message: str) -> None:
    """Refuse what cannot work."""
    if not condition:
        raise ConfigError(message)


def require_above(options: object, table: str, *names: str) -> None:
    """Numbers that must be finite and above 0."""
    for name in names:
        value = getattr(options, name)
        require(
            math.isfinite(value) and value > 0, f"{table}.{name} is {value}: it must be above 0 and finite"
        )


def require_fraction(options: object, table: str, *names: str) -> None:
    """Shares, 0..1."""
    for name in names:
        value = getattr(options, name)
        require(0 <= value <= 1, f"{table}.{name} is {value}: it is a share, from 0 to 1")


def require_not_below(options: object, table: str, *names: str) -> None:
    """Numbers that must be finite and may be 0."""
    for name in names:
        value = getattr(options, name)
        require(
            math.isfinite(value) and value >= 0, f"{table}.{name} is {value}: it must be 0 or more and finite"
        )
