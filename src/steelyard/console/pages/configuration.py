"""The configuration that serves, each value with where it comes from."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from steelyard.config.lines import Place
from steelyard.config.schema import Configuration
from steelyard.console.page import Context, Page, Part, Query
from steelyard.console.planes import Origins
from steelyard.console.watch import Watch
from steelyard.model.errors import SteelyardError

ROWS = 150


async def context(watch: Watch, query: Query) -> Context:
    """What was set, or with `all` also what stands at its default."""
    try:
        configuration = watch.gateway.configuration
    except SteelyardError:
        return {"part": Part([], 0, 0, ROWS), "file": "", "shows_all": False}
    origins = watch.origins(configuration)
    shows_all = query.text("all") == "1"
    rows = [row for row in rows_of(configuration, origins) if shows_all or row["origin"] != "default"]
    text = query.text("q").lower()
    found = [row for row in rows if text in f"{row['key']} {row['value']}".lower()]
    return {
        "part": Part.of(found, query.number("from", 0), ROWS),
        "file": origins.file,
        "shows_all": shows_all,
    }


def rows_of(configuration: Configuration, origins: Origins) -> Iterator[dict[str, Any]]:
    """One row a value that is no table, in the order of the schema."""
    for place, value in _values(configuration, ()):
        yield {
            "key": key_of(place),
            "value": msgspec.json.encode(value).decode(),
            "origin": origins.of(place) or "default",
        }


def _values(value: object, place: Place) -> Iterator[tuple[Place, object]]:
    if is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _values(getattr(value, each.name), (*place, each.name))
    elif isinstance(value, tuple) and value and is_dataclass(value[0]):
        for index, entry in enumerate(value):
            yield from _values(entry, (*place, index))
    else:
        yield place, value


def key_of(place: Place) -> str:
    """A place as people write it: pools[0].replicas[1].url."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


PAGE = Page("configuration", "Configuration", context)
