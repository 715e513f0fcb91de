"""Files that operators write for the jobs service: TOML, read whole, with every mistake named."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from msgspec.structs import fields

from steelyard.model.errors import ConfigError, nearest_or_known

Kind = TypeVar("Kind", bound=msgspec.Struct)
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`(?: - at `\$(.*)`)?")
_STEP = re.compile(r"\.(\w+)|\[")


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Mistakes found in what a file holds, said with its name. Raises ConfigError."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def load_toml(path: Path) -> dict[str, Any]:
    """A file as tables. Raises ConfigError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read {path}: it is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def read_toml(path: Path, kind: type[Kind]) -> Kind:
    """The file's content. Raises ConfigError."""
    try:
        return msgspec.convert(load_toml(path), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}{_remedy(str(error), kind)}") from None


def _remedy(mistake: str, kind: type[msgspec.Struct]) -> str:
    """The nearest of the keys that there are where an unknown one stands."""
    found = _UNKNOWN.match(mistake)
    if found is None:
        return ""
    place: Any = kind
    for step in _STEP.finditer(found[2] or ""):
        if step[1]:
            place = next(each.type for each in fields(place) if each.encode_name == step[1])
        else:
            place = get_args(place)[-1]  # of a list or a dictionary, what it holds
    return f": {nearest_or_known(found[1], place.__struct_fields__)}"
