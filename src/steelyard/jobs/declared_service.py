"""What a jobs service is to be, in one TOML file: `[[nodes]]`, `[tenants.NAME]`, `[retention]`.

`steelyard up` takes it by `--config`, else from `jobs.toml` in its state folder, where there is one.
"""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from steelyard.jobs.amounts import seconds_of
from steelyard.jobs.declared_nodes import NodeTable, checked, declared
from steelyard.jobs.declared_quotas import TenantTable, quotas_of
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.toml_file import named, read_toml
from steelyard.scheduling.quotas import Quota
from steelyard.scheduling.retention import RetentionRules

FILE_NAME = "jobs.toml"
Amount = float | str
_DEFAULT = RetentionRules()


class RetentionTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`[retention]`: see `scheduling.retention`."""

    finished: Amount = _DEFAULT.keep_jobs_s
    jobs: int = _DEFAULT.keep_jobs
    tasks: int = _DEFAULT.keep_tasks
    keys: Amount = _DEFAULT.keep_keys_s
    at_least: Amount = _DEFAULT.keep_at_least_s


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    nodes: list[NodeTable] = []
    tenants: dict[str, TenantTable] = {}
    retention: RetentionTable = msgspec.field(default_factory=RetentionTable)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """As declared; no nodes means this machine."""

    nodes: list[LocalNode] = field(default_factory=list)
    quotas: dict[str, Quota] = field(default_factory=dict)
    retention: RetentionRules = _DEFAULT


def read_settings(path: Path | None, folder: Path) -> ServiceSettings:
    """From the file named, else the folder's own; the defaults when there is none. Raises ConfigError."""
    if path is None:
        path = folder / FILE_NAME
        if not path.exists():
            return ServiceSettings()
    found = read_toml(path, _File)
    with named(path):
        return ServiceSettings(
            nodes=checked([declared(table) for table in found.nodes]) if found.nodes else [],
            quotas=quotas_of(found.tenants),
            retention=_retention(found.retention),
        )


def _retention(table: RetentionTable) -> RetentionRules:
    return RetentionRules(
        keep_jobs_s=seconds_of(table.finished, "retention: finished"),
        keep_jobs=table.jobs,
        keep_tasks=table.tasks,
        keep_keys_s=seconds_of(table.keys, "retention: keys"),
        keep_at_least_s=seconds_of(table.at_least, "retention: at_least"),
    )
