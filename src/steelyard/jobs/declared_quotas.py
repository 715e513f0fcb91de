"""Quotas of tenants, declared in a TOML file: what each is promised, and whether it may borrow beyond."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from steelyard.jobs.toml_file import named, read_toml
from steelyard.jobs.written import WrittenForm
from steelyard.model.errors import ConfigError
from steelyard.model.resources import Resources
from steelyard.scheduling.quotas import Quota

RESOURCES = WrittenForm(Resources)


@RESOURCES.complete
class TenantTable(msgspec.Struct, kw_only=True):
    """One `[tenants.NAME]` table. Only the resources that it names are counted."""

    borrow: bool = True


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tenants: dict[str, TenantTable]


def read_quotas(path: Path) -> dict[str, Quota]:
    """Tenant → quota. Raises ConfigError."""
    found = read_toml(path, _File)
    with named(path):
        return quotas_of(found.tenants)


def quotas_of(tenants: Mapping[str, TenantTable]) -> dict[str, Quota]:
    """Tenant → quota. Raises ConfigError."""
    return {name: _quota(name, table) for name, table in tenants.items()}


def _quota(name: str, table: TenantTable) -> Quota:
    named = RESOURCES.read(table)
    if not named:
        raise ConfigError(f"tenant {name!r} has no amount: name gpus, cpu_cores, memory or another resource")
    return Quota(nominal=Resources(**named), limited=tuple(named), borrow=table.borrow)
