"""Jinja's templates, loaded when the first page is asked for: a gateway serves without Jinja as well.

Everything that is put into a page is escaped, whoever named it. Nothing in a template may mark a value as
safe; a test looks for that.
"""

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.console.assets import address
from steelyard.console.drawing import FILTERS
from steelyard.model.errors import SteelyardError

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent / "templates"


class NoTemplates(SteelyardError):
    """Jinja is not installed."""

    http_status = 503


@cache
def environment() -> "Environment":
    """Made once. Raises NoTemplates."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise NoTemplates(
            "the console's pages need Jinja2, which is not installed: pip install jinja2"
        ) from None
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= FILTERS
    made.globals["asset"] = address
    return made


def warm_up() -> None:
    """Compile every template, 0.2 s, so that the first visitor need not wait. Without Jinja, nothing."""
    with suppress(NoTemplates):
        made = environment()
        for path in FOLDER.rglob("*.html"):
            made.get_template(str(path.relative_to(FOLDER)))


def render(name: str, values: dict[str, Any]) -> str:
    """A template's text. Raises NoTemplates."""
    return environment().get_template(f"{name}.html").render(values)
