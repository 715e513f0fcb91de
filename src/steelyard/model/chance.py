"""Chance is handed in, never reached for: the same seed gives the same picks in every plane."""

from typing import Protocol


class Rng(Protocol):
    """What a policy may ask of a generator; `random.Random` fits."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def randrange(self, stop: int, /) -> int:
        """Return an integer in [0, stop)."""
        ...
