"""Numbers of a command line that are numbers: `nan` passes every range, and breaks what follows."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A range without nan and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse what is no finite number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number
