"""The nodes of one machine, as declared in a TOML file (`[[nodes]]`) or on a command line."""

import re
import socket
from pathlib import Path

import msgspec

from steelyard.jobs.amounts import number_of
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.toml_file import named, read_toml
from steelyard.jobs.written import Written, WrittenForm
from steelyard.model.errors import ConfigError, nearest_or_known
from steelyard.model.resources import Resources

_NAME = re.compile(r"\w[\w.-]{0,63}")  # a folder's name, in tables and in paths of sockets
UNLIMITED = 1e12  # of what nobody declared: it must never rule a node out
_UNDECLARED = dict.fromkeys(
    ("disk_read_bytes_per_s", "disk_write_bytes_per_s", "network_bytes_per_s"), UNLIMITED
)
CAPACITY = WrittenForm(Resources, {"gpus": Written("gpus", int, number_of)})
NODE = WrittenForm(LocalNode, unwritten=("name", "capacity"))


@CAPACITY.complete
@NODE.complete
class NodeTable(msgspec.Struct, kw_only=True):
    """One `[[nodes]]` table. Without cpu_cores and memory a node is the whole machine, as measured."""

    name: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    nodes: list[NodeTable]


def read_nodes(path: Path) -> list[LocalNode]:
    """The nodes of a file. Raises ConfigError."""
    found = read_toml(path, _File)
    with named(path):
        return checked([declared(table) for table in found.nodes])


def parse_node(text: str) -> LocalNode:
    """NAME, or NAME:cpu_cores=2,memory=4GiB and so on. Raises ConfigError."""
    name, _, rest = text.partition(":")
    table: dict[str, object] = {"name": name}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"node {text!r}: {part!r} is not KEY=VALUE")
        if key not in NodeTable.__struct_fields__:
            said = [each for each in NodeTable.__struct_fields__ if each not in ("name", "labels", "cpus")]
            remedy = nearest_or_known(key, said)
            raise ConfigError(f"node {text!r}: unknown key {key!r}: {remedy}")
        table[key] = value
    try:
        return declared(msgspec.convert(table, NodeTable, strict=False))
    except msgspec.ValidationError as error:
        raise ConfigError(f"node {text!r}: {error}") from None


def declared(table: NodeTable) -> LocalNode:
    """From what was written. Raises ConfigError."""
    if not _NAME.fullmatch(table.name):
        raise ConfigError(
            f"a node's name is {table.name[:80]!r}: use letters, digits, dots and dashes, at most 64"
        )
    try:
        node = LocalNode(name=table.name, **NODE.read(table), capacity=_capacity(CAPACITY.read(table)))
        if not 0.05 <= node.sample_interval_s <= 3600:
            raise ConfigError(f"sample_interval is {node.sample_interval_s}: it must be in 0.05..3600 s")
    except ConfigError as error:
        raise ConfigError(f"node {table.name!r}: {error}") from None
    return node


def _capacity(amounts: dict[str, float]) -> Resources | None:
    if not amounts:
        return None
    if "memory_bytes" not in amounts or not amounts.get("cpu_cores"):
        raise ConfigError("say both cpu_cores (above 0) and memory, or no amount at all")
    return Resources(**_UNDECLARED | amounts)


def checked(nodes: list[LocalNode]) -> list[LocalNode]:
    """Names must differ. Raises ConfigError."""
    names = [node.name for node in nodes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two nodes are named {twice!r}: give each its own name")
    if not nodes:
        raise ConfigError("there is no node: declare one as a [[nodes]] table")
    return nodes


def this_machine() -> list[LocalNode]:
    """One node: the whole machine under its own name."""
    return [LocalNode(name=socket.gethostname().partition(".")[0] or "local")]
