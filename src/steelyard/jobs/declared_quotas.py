"""Quotas of tenants, declared in a TOML file: what each is promised, and whether it may borrow beyond."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from steelyard.jobs.amounts import bytes_of, number_of
from steelyard.jobs.toml_file import read_toml
from steelyard.model.errors import ConfigError
from steelyard.model.resources import Resources
from steelyard.scheduling.quotas import Quota

Amount = float | str


class TenantTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One `[tenants.NAME]` table. Only the resources that it names are counted."""

    cpu_cores: float | None = None
    memory: Amount | None = None
    gpus: float | None = None
    gpu_memory: Amount | None = None
    borrow: bool = True


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tenants: dict[str, TenantTable]


def read_quotas(path: Path) -> dict[str, Quota]:
    """Tenant → quota. Raises ConfigError."""
    return quotas_of(read_toml(path, _File).tenants)


def quotas_of(tenants: Mapping[str, TenantTable]) -> dict[str, Quota]:
    """Tenant → quota. Raises ConfigError."""
    return {name: _quota(name, table) for name, table in tenants.items()}


def _quota(name: str, table: TenantTable) -> Quota:
    amounts = {
        "cpu_cores": number_of(table.cpu_cores, "cpu_cores") if table.cpu_cores is not None else None,
        "memory_bytes": bytes_of(table.memory, "memory") if table.memory is not None else None,
        "gpus": number_of(table.gpus, "gpus") if table.gpus is not None else None,
        "gpu_memory_bytes": bytes_of(table.gpu_memory, "gpu_memory")
        if table.gpu_memory is not None
        else None,
    }
    named = {resource: amount for resource, amount in amounts.items() if amount is not None}
    if not named:
        raise ConfigError(f"tenant {name!r} has no amount: name gpus, cpu_cores, memory or gpu_memory")
    return Quota(nominal=Resources(**named), limited=tuple(named), borrow=table.borrow)
