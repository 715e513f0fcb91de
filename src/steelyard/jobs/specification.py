"""Jobs as people write them, in TOML or as keywords: friendly names in, `JobSpecification` out.

A file holds one job, or several as `[[jobs]]` of which `after` may name earlier ones. `shards` deals
files or a range of keys out to so many tasks; `reduce` runs once they are done.
"""

import getpass
import glob
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from steelyard.jobs.acceptance import check_job, printable_name
from steelyard.jobs.amounts import bytes_of, number_of, seconds_of
from steelyard.jobs.shards import deal_files, deal_keys
from steelyard.jobs.toml_file import load_toml
from steelyard.model.errors import ConfigError, nearest_or_known
from steelyard.model.job_specification import JobSpecification, RetryRules
from steelyard.model.resources import Resources

Amount = float | str
SHELL = ("/bin/sh", "-c")
DEFAULT_CORES = 1.0  # a task that says nothing is a process that computes


class ResourceTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[resources]`, of each task."""

    cpu_cores: float | None = None
    memory: Amount = 0.0
    gpus: float = 0.0
    gpu_memory: Amount = 0.0
    disk_read: Amount = 0.0
    disk_write: Amount = 0.0
    network: Amount = 0.0


_RETRY = RetryRules()


class RetryTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[retry]`."""

    max_retries: int = _RETRY.max_retries
    max_losses: int = _RETRY.max_losses
    first_delay: Amount = _RETRY.first_delay_s
    max_delay: Amount = _RETRY.max_delay_s
    no_retry_exit_codes: tuple[int, ...] = _RETRY.no_retry_exit_codes


class JobTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One job, as written."""

    command: str | list[str]
    name: str = ""
    tenant: str = ""
    tasks: int | None = None
    gang: bool = False
    shards: int | None = None
    files: str | list[str] = []
    keys: tuple[int, int] | None = None
    reduce: str | list[str] = []
    after: list[str] = []
    environment: dict[str, str | int | float | bool] = {}
    working_directory: str = ""
    resources: ResourceTable = msgspec.field(default_factory=ResourceTable)
    priority: int = 0
    deadline: Amount | None = None
    expected_time: Amount = 0.0
    size: Amount = 0.0
    checkpoint_directory: str = ""
    backup: str = ""
    preemptible: bool = True
    checkpoint_cost: Amount = 0.0
    restart_cost: Amount = 0.0
    grace: Amount = 10.0
    nice: int = 0
    max_parallel: int = 0
    keep_claim: Amount = 0.0
    time_limit: Amount = 0.0
    retry: RetryTable = msgspec.field(default_factory=RetryTable)
    nodes: list[str] = []
    forbidden_nodes: list[str] = []
    node_labels: dict[str, str] = {}
    gpu_models: list[str] = []
    labels: list[str] = []
    near: list[str] = []
    apart_from: list[str] = []
    data: dict[str, Amount] = {}


_NESTED: dict[str, type[msgspec.Struct]] = {"resources": ResourceTable, "retry": RetryTable}


def read_jobs(path: Path) -> list[JobSpecification]:
    """The jobs of a file, in order; `after` may still hold names of the file. Raises ConfigError."""
    table = load_toml(path)
    tables = table["jobs"] if set(table) == {"jobs"} and isinstance(table["jobs"], list) else [table]
    if not tables or not all(isinstance(each, dict) for each in tables):
        raise ConfigError(f"{path} has no jobs: write each as a [[jobs]] table")
    base = path.resolve().parent
    return [from_table(each, base, default_name=path.stem, where=str(path)) for each in tables]


def from_table(
    table: Mapping[str, Any], base: Path, *, default_name: str = "", where: str = "the job"
) -> JobSpecification:
    """One job. `base`: the folder that relative paths start from. Raises ConfigError."""
    _check_keys(table, JobTable, where)
    for name, kind in _NESTED.items():
        if isinstance(table.get(name), Mapping):
            _check_keys(table[name], kind, f"{where}, {name}")
    try:
        written = msgspec.convert(table, JobTable, strict=True)
        specification = _specified(written, base, default_name)
        check_job(specification)
        return specification
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _check_keys(table: Mapping[str, Any], kind: type[msgspec.Struct], where: str) -> None:
    known = kind.__struct_fields__
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}: {nearest_or_known(key, known)}")


def _specified(written: JobTable, base: Path, default_name: str) -> JobSpecification:
    folder = str(base / written.working_directory)
    command = command_of(written.command)
    specification = JobSpecification(
        command=command,
        name=written.name or printable_name(default_name or Path("".join(command[:1])).name),
        user=_user(),
        tenant=written.tenant,
        environment={name: _as_text(value) for name, value in written.environment.items()},
        working_directory=folder,
        demand=_resources(written.resources),
        tasks=written.tasks if written.tasks is not None else 1,
        gang=written.gang,
        reduce_command=command_of(written.reduce) if written.reduce else (),
        after=tuple(written.after),
        priority=written.priority,
        deadline_s=seconds_of(written.deadline, "deadline") if written.deadline is not None else None,
        expected_time_s=seconds_of(written.expected_time, "expected_time"),
        size_bytes=bytes_of(written.size, "size"),
        checkpoint_directory=written.checkpoint_directory,
        backup_node_id=written.backup,
        preemptible=written.preemptible,
        checkpoint_cost_s=seconds_of(written.checkpoint_cost, "checkpoint_cost"),
        restart_cost_s=seconds_of(written.restart_cost, "restart_cost"),
        grace_s=seconds_of(written.grace, "grace"),
        nice=written.nice,
        max_parallel=written.max_parallel,
        keep_claim_s=seconds_of(written.keep_claim, "keep_claim"),
        time_limit_s=seconds_of(written.time_limit, "time_limit"),
        retry=_retry(written.retry),
        nodes=tuple(written.nodes),
        forbidden_nodes=tuple(written.forbidden_nodes),
        node_labels=written.node_labels,
        gpu_models=tuple(written.gpu_models),
        keys=tuple(written.labels),
        affinity_keys=tuple(written.near),
        anti_affinity_keys=tuple(written.apart_from),
        data_bytes={place: bytes_of(amount, "data") for place, amount in written.data.items()},
    )
    return _sharded(specification, written, Path(folder))


def _sharded(specification: JobSpecification, written: JobTable, folder: Path) -> JobSpecification:
    if written.shards is None:
        if written.files or written.keys:
            raise ConfigError("files and keys are dealt out to shards: say how many, such as shards = 32")
        return specification
    if written.tasks is not None or written.gang:
        raise ConfigError("shards are tasks of their own: leave out tasks and gang")
    if bool(written.files) == (written.keys is not None):
        raise ConfigError("shards need either files or keys: what is to be dealt out?")
    if written.keys is not None:
        shards = deal_keys(written.keys[0], written.keys[1], written.shards)
    else:
        patterns = [written.files] if isinstance(written.files, str) else written.files
        found = sorted(
            {each for pattern in patterns for each in glob.glob(str(folder / pattern), recursive=True)}
        )
        sizes = {each: os.path.getsize(each) for each in found if os.path.isfile(each)}
        if not sizes:
            raise ConfigError(f"no file matches {', '.join(map(str, patterns))} below {folder}")
        shards = deal_files(sizes, written.shards)
    return replace(specification, tasks=len(shards), task_environments=tuple(shards))


def command_of(command: str | Sequence[str]) -> tuple[str, ...]:
    """A text is run by the shell, a list as it is."""
    return (*SHELL, command) if isinstance(command, str) and command else tuple(command)


def _as_text(value: str | float | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _resources(table: ResourceTable) -> Resources:
    return Resources(
        cpu_cores=DEFAULT_CORES if table.cpu_cores is None else number_of(table.cpu_cores, "cpu_cores"),
        memory_bytes=bytes_of(table.memory, "memory"),
        disk_read_bytes_per_s=bytes_of(table.disk_read, "disk_read"),
        disk_write_bytes_per_s=bytes_of(table.disk_write, "disk_write"),
        network_bytes_per_s=bytes_of(table.network, "network"),
        gpus=number_of(table.gpus, "gpus"),
        gpu_memory_bytes=bytes_of(table.gpu_memory, "gpu_memory"),
    )


def _retry(table: RetryTable) -> RetryRules:
    return RetryRules(
        max_retries=table.max_retries,
        max_losses=table.max_losses,
        first_delay_s=seconds_of(table.first_delay, "first_delay"),
        max_delay_s=seconds_of(table.max_delay, "max_delay"),
        no_retry_exit_codes=table.no_retry_exit_codes,
    )


def _user() -> str:
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return str(os.getuid())
