"""Files that operators write for the jobs service: TOML, read whole, with every mistake named."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from steelyard.model.errors import ConfigError

Kind = TypeVar("Kind", bound=msgspec.Struct)
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")


def read_toml(path: Path, kind: type[Kind]) -> Kind:
    """The file's content. Raises ConfigError."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}{_remedy(str(error), kind)}") from None


def _remedy(mistake: str, kind: type[msgspec.Struct]) -> str:
    """The nearest of the file's own tables, for one that there is not."""
    found = _UNKNOWN.match(mistake)
    if found is None or " - at `$." in mistake:
        return ""
    nearest = difflib.get_close_matches(found[1], kind.__struct_fields__, n=1)
    known = ", ".join(kind.__struct_fields__)
    return f": did you mean {nearest[0]!r}?" if nearest else f": known are {known}"
