"""From a TOML file or a command line to a `Configuration`, every mistake named with its line and a remedy."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from steelyard.config.plugins import check_policy_name
from steelyard.config.schema import Configuration, PoolOptions, ReplicaOptions, RouteOptions
from steelyard.model.errors import ConfigError


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
    _check_keys(table, Configuration, text, path, ())
    try:
        configuration = msgspec.convert(table, Configuration)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_with_line(str(error), text)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return completed(configuration)


def from_engines(urls: Sequence[str], **options: Any) -> Configuration:
    """A configuration with one pool of engines. Raises ConfigError.

    options: other keys of `Configuration`, and `policy` for the pool.
    """
    if not urls:
        raise ConfigError(
            "there is no engine: name one with --engine http://HOST:PORT, or give a configuration file"
        )
    policy = options.pop("policy", None)
    pool = PoolOptions(replicas=tuple(ReplicaOptions(url=url) for url in urls))
    if policy is not None:
        pool = replace(pool, policy=policy)
    return completed(Configuration(pools=(pool,), **options))


def completed(configuration: Configuration) -> Configuration:
    """Check policy names, and give a lone pool the whole address space when no route is named."""
    for pool in configuration.pools:
        check_policy_name(pool.policy)
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


def _check_keys(
    table: Mapping[str, Any], schema: type, text: str, path: Path, inside: tuple[str, ...]
) -> None:
    """Refuse unknown keys, naming the nearest known one. Raises ConfigError."""
    hints = get_type_hints(schema)
    known = [field.name for field in fields(schema)]
    for key, value in table.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {nearest[0]!r}?" if nearest else f"known keys are {', '.join(known)}"
            place = ".".join((*inside, key))
            raise ConfigError(f"{path}, line {_line_of(text, key)}: unknown key {place!r}: {remedy}")
        nested = _nested(hints[key])
        if nested is not None:
            for inner in _tables(value):
                _check_keys(inner, nested, text, path, (*inside, key))


def _tables(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, Mapping))


def _line_of(text: str, key: str) -> int:
    """The line on which a key or a table of that name first stands; tomllib does not say."""
    pattern = re.compile(
        rf"^\s*(?:\[+[\w.\s\"-]*)?\"?{re.escape(key)}\"?\s*(?:=|\])|[{{,]\s*{re.escape(key)}\s*="
    )
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line):
            return number
    return 1


def _with_line(message: str, text: str) -> str:
    """A validation message with the line of the key that it names: `… - at `$.pools[0].weight``."""
    sentence, _, where = message.partition(" - at ")
    key = re.findall(r"[A-Za-z_]\w*", where)
    if not key:
        return sentence
    return f"line {_line_of(text, key[-1])}: {where.strip('`').removeprefix('$.')}: {sentence}"
