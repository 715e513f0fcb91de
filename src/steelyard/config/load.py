"""From a TOML file or a command line to a `Configuration`, every mistake named with its line and a remedy."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from steelyard.config.lines import Place, lines_of
from steelyard.config.plugins import check_policy_name
from steelyard.config.schema import Configuration, PoolOptions, ReplicaOptions, RouteOptions
from steelyard.model.errors import ConfigError, nearest_or_known


def load_file(path: Path) -> Configuration:
    """Read and check a file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read {path}: it is not UTF-8 text") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    try:
        _check_keys(table, Configuration, ())
        return completed(_convert(table))
    except ConfigError as mistake:
        line = line_of(lines_of(text), mistake.place)
        where = f"{path}, line {line}" if line else f"{path}"
        raise ConfigError(f"{where}: {mistake}") from None


def _convert(table: Mapping[str, Any]) -> Configuration:
    """Raises ConfigError."""
    try:
        return msgspec.convert(table, Configuration)
    except msgspec.ValidationError as error:
        sentence, _, where = str(error).partition(" - at ")
        where = where.strip("`").removeprefix("$").removeprefix(".")
        place = tuple(int(part) if part.isdigit() else part for part in re.findall(r"\w+", where))
        raise ConfigError(f"{where}: {sentence}" if where else sentence, place) from None
    except ConfigError as error:
        raise ConfigError(str(error), _place_of(error, table, Configuration, ())) from None


def _place_of(error: ConfigError, table: Mapping[str, Any], schema: type, inside: Place) -> Place:
    """Where a check of ours failed: the innermost table that fails by itself, and in it the key that the
    message names first.
    """
    if error.place:
        return (*inside, *error.place)
    hints = get_type_hints(schema)
    for key, value in table.items():
        nested = _nested(hints[key]) if key in hints else None
        for place, inner in _tables(value, (*inside, key)) if nested is not None else ():
            try:
                msgspec.convert(inner, nested)
            except ConfigError as same:
                return _place_of(same, inner, nested, place) if nested is not None else place
            except msgspec.ValidationError:
                continue
    words = re.findall(r"[a-z_]+", str(error))
    named = next((word for word in words if word in table), "")
    return (*inside, named) if named else inside


def line_of(lines: Mapping[Place, int], place: Place) -> int:
    """The line of a place, or of the nearest thing round it; 0 when there is none."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 0)


def from_engines(urls: Sequence[str], **options: Any) -> Configuration:
    """A configuration with one pool of engines. Raises ConfigError.

    options: other keys of `Configuration`, and `policy` for the pool.
    """
    if not urls:
        raise ConfigError(
            "there is no engine: name one with --engine http://HOST:PORT, give a configuration file, "
            "or try it with --emulated 2"
        )
    policy = options.pop("policy", None)
    pool = PoolOptions(replicas=tuple(ReplicaOptions(url=url) for url in urls))
    if policy is not None:
        pool = replace(pool, policy=policy)
    return completed(Configuration(pools=(pool,), **options))


def completed(configuration: Configuration) -> Configuration:
    """Check policy names, and give a lone pool the whole address space when no route is named."""
    for index, pool in enumerate(configuration.pools):
        try:
            check_policy_name(pool.policy)
        except ConfigError as error:
            raise ConfigError(str(error), ("pools", index, "policy")) from None
        try:
            check_policy_name(pool.shadow or pool.policy)
        except ConfigError as error:
            raise ConfigError(str(error), ("pools", index, "shadow")) from None
    if configuration.routes:
        return configuration
    if len(configuration.pools) > 1:
        raise ConfigError(
            "there are several pools and no [[routes]]: say which path_prefix leads to which pool"
        )
    return replace(configuration, routes=(RouteOptions(path_prefix="/", pool=configuration.pools[0].name),))


def _nested(annotation: object) -> type | None:
    """The dataclass inside a field's type, if there is one."""
    for candidate in (annotation, *get_args(annotation)):
        if is_dataclass(candidate) and isinstance(candidate, type):
            return candidate
    return None


def _check_keys(table: Mapping[str, Any], schema: type, inside: Place) -> None:
    """Refuse unknown keys, naming the nearest known one. Raises ConfigError."""
    hints = get_type_hints(schema)
    known = [field.name for field in fields(schema)]
    for key, value in table.items():
        if key not in known:
            name = ".".join(part for part in (*inside, key) if isinstance(part, str))
            raise ConfigError(f"unknown key {name!r}: {nearest_or_known(key, known)}", (*inside, key))
        nested = _nested(hints[key])
        if nested is not None:
            for place, inner in _tables(value, (*inside, key)):
                _check_keys(inner, nested, place)


def _tables(value: object, place: Place) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """The tables that a key holds, each with its place."""
    if isinstance(value, Mapping):
        yield place, value
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            if isinstance(entry, Mapping):
                yield (*place, index), entry
