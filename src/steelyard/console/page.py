"""What a page is: a template, the regions of it that move, and where its values come from."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from steelyard.console.watch import Watch
from steelyard.model.errors import BadRequest

MAX_QUERY, MAX_FIELDS = 2000, 20
PAGE_PATIENCE_S, STREAM_PATIENCE_S = 0.1, 2.5
Context = dict[str, Any]


def fields_of(text: str) -> dict[str, str]:
    """A form's or a query's fields; of several with one name the last. Raises BadRequest for too many."""
    try:
        return dict(parse_qsl(text, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise BadRequest(f"over {MAX_FIELDS} fields: this is no form of the console's") from None


class Query:
    """What follows the question mark; bounded, and the last of several values counts.

    patience_s: how long whoever asks would wait for the workers. A page comes soon or not at all; a stream
    has time.
    """

    def __init__(self, text: str, patience_s: float = STREAM_PATIENCE_S) -> None:
        self.patience_s = patience_s
        self.values = fields_of(text[:MAX_QUERY])

    @property
    def is_page(self) -> bool:
        """Whether a whole page is asked for, and not what changed in it."""
        return self.patience_s < STREAM_PATIENCE_S

    def text(self, name: str) -> str:
        """A value, "" when there is none."""
        return self.values.get(name, "")

    def number(self, name: str, default: int, least: int = 0, most: int = 1_000_000) -> int:
        """A whole number within bounds; the default for anything else."""
        value = self.values.get(name, "")
        return min(most, max(least, int(value))) if value.isascii() and value.isdigit() else default

    def with_(self, **changes: object) -> str:
        """The same query with other values, as it stands in a link; "" takes one out."""
        values = {**self.values, **{name: str(value) for name, value in changes.items()}}
        return urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True, slots=True)
class Page:
    """One page. regions: ids of the elements that are kept up to date, which are templates' names too.

    charts: whether the viewer is sent the points of the time series. log: whether it follows a task's output.
    """

    name: str
    title: str
    context: Callable[[Watch, Query], Awaitable[Context]]
    regions: tuple[str, ...] = ()
    charts: bool = False
    log: bool = False
    listed: bool = True  # in the navigation


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a long list."""

    rows: list[Any]
    total: int
    start: int
    size: int

    @classmethod
    def of(cls, rows: list[Any], start: int, size: int) -> "Part":
        """Cut it out of a whole list."""
        start = min(start, max(0, len(rows) - 1)) // size * size
        return cls(rows[start : start + size], len(rows), start, size)

    @property
    def end(self) -> int:
        """After the last row that is shown."""
        return self.start + len(self.rows)
