"""Files that operators write for the jobs service: TOML, read whole, with every mistake named."""

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from steelyard.model.errors import ConfigError, nearest_or_known

Kind = TypeVar("Kind", bound=msgspec.Struct)
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")


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
    """The nearest of the file's own tables, for one that there is not."""
    found = _UNKNOWN.match(mistake)
    if found is None or " - at `$." in mistake:
        return ""
    return f": {nearest_or_known(found[1], kind.__struct_fields__)}"
