"""What installed packages offer under an entry-point group, loaded once at start."""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from steelyard.model.errors import ConfigError


@cache
def offered(group: str) -> dict[str, Callable[..., Any]]:
    """Factories by name. Raises ConfigError, in one sentence, for one that cannot be loaded."""
    factories: dict[str, Callable[..., Any]] = {}
    for point in entry_points(group=group):
        try:
            factories[point.name] = point.load()
        except Exception as error:  # noqa: BLE001 - what others wrote may raise anything when it is imported
            raise ConfigError(
                f"the policy {point.name!r} of {point.value} cannot be loaded: {said(error)}: "
                "mend or uninstall the package that offers it"
            ) from None
    return factories


def said(error: Exception) -> str:
    """What an error says, on one line, with its kind."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
