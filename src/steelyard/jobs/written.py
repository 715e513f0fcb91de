"""What people write in TOML, derived from the class that it becomes: its fields are listed once, there.

An amount has its unit beside its value, not in its name: `memory_bytes` is written `memory = "2GiB"`, and
`grace_s` is written `grace = "90s"`. Other fields are written as they are called and as they are, but for
those that a `Written` speaks of. What nobody wrote keeps the class's own default.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast, get_args, get_type_hints

import msgspec
from msgspec.inspect import DataclassType, StructType, type_info

from steelyard.jobs.amounts import bytes_of, number_of, seconds_of

Amount = float | str
Table = TypeVar("Table", bound=msgspec.Struct)
Reader = Callable[[Any, str], Any]
"""A field's value from what was written and its name there. Raises ConfigError."""

_UNITS = (("_bytes_per_s", bytes_of), ("_bytes", bytes_of), ("_s", seconds_of))


def _as_it_is(value: Any, name: str) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Written:
    """How a field is written: under which name, as which type, and what is made of it."""

    name: str
    kind: Any
    read: Reader = _as_it_is


class WrittenForm:
    """How a dataclass or struct is written.

    differing: the fields that do not follow the rule. unwritten: those that nobody may write.
    """

    def __init__(
        self, kind: type, differing: Mapping[str, Written] | None = None, unwritten: Collection[str] = ()
    ) -> None:
        info, hints = type_info(kind), get_type_hints(kind)
        assert isinstance(info, DataclassType | StructType)  # a programmer's choice, no person's
        self.required = {field.name for field in info.fields if field.required}
        rule = {field.name: _by_rule(field.name, hints[field.name]) for field in info.fields}
        self.fields = {
            name: written for name, written in (rule | dict(differing or {})).items() if name not in unwritten
        }

    def complete(self, table: type[Table]) -> type[Table]:
        """Decorates a struct: the table with its fields and these, which refuses what it does not know."""
        fields = [
            (written.name, written.kind)
            if field in self.required
            else (written.name, written.kind | msgspec.UnsetType, msgspec.UNSET)
            for field, written in self.fields.items()
        ]
        whole = msgspec.defstruct(
            table.__name__,
            fields,
            bases=(table,),
            module=table.__module__,
            forbid_unknown_fields=True,
            kw_only=True,
        )
        return cast(type[Table], whole)

    def read(self, table: msgspec.Struct) -> dict[str, Any]:
        """Field → value, of those that were written. Raises ConfigError."""
        found = {field: getattr(table, written.name) for field, written in self.fields.items()}
        return {
            field: self.fields[field].read(value, self.fields[field].name)
            for field, value in found.items()
            if value is not msgspec.UNSET
        }


def _by_rule(field: str, kind: Any) -> Written:
    if kind is not float and set(get_args(kind)) != {float, type(None)}:
        return Written(field, kind)
    for suffix, read in _UNITS:
        if field.endswith(suffix):
            return Written(field.removesuffix(suffix), Amount, read)
    return Written(field, float, number_of)
