"""The fleet of misbehaving engines, as the end-to-end tests have it."""

from tests.end_to_end.conftest import faults, fleet

__all__ = ["faults", "fleet"]
