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
from steelyard.jobs.amounts import bytes_of
from steelyard.jobs.shards import deal_files, deal_keys
from steelyard.jobs.toml_file import load_toml
from steelyard.jobs.written import Amount, Written, WrittenForm
from steelyard.model.errors import ConfigError, nearest_or_known
from steelyard.model.job_specification import JobSpecification, RetryRules
from steelyard.model.resources import Resources

SHELL = ("/bin/sh", "-c")
DEFAULT_CORES = 1.0  # a task that says nothing is a process that computes


def command_of(command: str | Sequence[str], name: str = "") -> tuple[str, ...]:
    """A text is run by the shell, a list as it is."""
    return (*SHELL, command) if isinstance(command, str) and command else tuple(command)


def _texts(values: Mapping[str, Any], name: str) -> dict[str, str]:
    return {
        each: str(int(value)) if isinstance(value, bool) else str(value) for each, value in values.items()
    }


def _sizes(amounts: Mapping[str, Amount], name: str) -> dict[str, float]:
    return {each: bytes_of(amount, name) for each, amount in amounts.items()}


RESOURCES = WrittenForm(Resources)
RETRY = WrittenForm(RetryRules)


@RESOURCES.complete
class ResourceTable(msgspec.Struct):
    """`[resources]`, of each task."""


@RETRY.complete
class RetryTable(msgspec.Struct):
    """`[retry]`."""


JOB = WrittenForm(
    JobSpecification,
    {
        "command": Written("command", str | list[str], command_of),
        "reduce_command": Written("reduce", str | list[str], command_of),
        "environment": Written("environment", dict[str, str | int | float | bool], _texts),
        "demand": Written("resources", ResourceTable, lambda table, _: _demand(table)),
        "backup_node_id": Written("backup", str),
        "retry": Written("retry", RetryTable, lambda table, _: RetryRules(**RETRY.read(table))),
        "keys": Written("labels", tuple[str, ...]),
        "affinity_keys": Written("near", tuple[str, ...]),
        "anti_affinity_keys": Written("apart_from", tuple[str, ...]),
        "data_bytes": Written("data", dict[str, Amount], _sizes),
    },
    unwritten=("user", "task_environments"),
)


@JOB.complete
class JobTable(msgspec.Struct, kw_only=True):
    """One job. What it has beside a job's fields is work to be dealt out to shards."""

    shards: int | None = None
    files: str | list[str] = []
    keys: tuple[int, int] | None = None


_NESTED: dict[str, type[msgspec.Struct]] = {"resources": ResourceTable, "retry": RetryTable}


def read_jobs(path: Path) -> list[JobSpecification]:
    """The jobs of a file, in order; `after` may still hold names of the file. Raises ConfigError."""
    table = load_toml(path)
    tables = table.pop("jobs", [table])
    if table and tables != [table]:
        raise ConfigError(f"{path}: {next(iter(table))!r} stands beside [[jobs]]: put it into one of them")
    if not tables or not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ConfigError(f"{path} has no jobs: write each as a [[jobs]] table")
    base = path.resolve().parent
    return [from_table(each, base, default_name=path.stem, where=str(path)) for each in tables]


def from_table(
    table: Mapping[str, Any], base: Path, *, default_name: str = "", where: str = "the job"
) -> JobSpecification:
    """One job. `base`: the folder that relative paths start from. Raises ConfigError.

    None, which TOML does not know, is as if a program had not written the key.
    """
    said = _said(table, JobTable, where)
    for name, kind in _NESTED.items():
        if isinstance(said.get(name), Mapping):
            said[name] = _said(said[name], kind, f"{where}, {name}")
    try:
        written = msgspec.convert(said, JobTable, strict=True)
        specification = _specified(written, base, default_name)
        check_job(specification)
        return specification
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _said(table: Mapping[str, Any], kind: type[msgspec.Struct], where: str) -> dict[str, Any]:
    known = kind.__struct_fields__
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}: {nearest_or_known(key, known)}")
    return {key: value for key, value in table.items() if value is not None or key == "command"}


def _specified(written: JobTable, base: Path, default_name: str) -> JobSpecification:
    fields = JOB.read(written)
    command = fields["command"]
    fields["name"] = fields.get("name") or printable_name(default_name or Path("".join(command[:1])).name)
    fields["working_directory"] = str(base / fields.get("working_directory", ""))
    fields.setdefault("demand", Resources(cpu_cores=DEFAULT_CORES))
    specification = JobSpecification(user=_user(), **fields)
    return _sharded(specification, written, "tasks" in fields)


def _demand(table: ResourceTable) -> Resources:
    return Resources(**{"cpu_cores": DEFAULT_CORES} | RESOURCES.read(table))


def _sharded(specification: JobSpecification, written: JobTable, tasks_said: bool) -> JobSpecification:
    if written.shards is None:
        if written.files or written.keys:
            raise ConfigError("files and keys are dealt out to shards: say how many, such as shards = 32")
        return specification
    if tasks_said or specification.gang:
        raise ConfigError("shards are tasks of their own: leave out tasks and gang")
    if bool(written.files) == (written.keys is not None):
        raise ConfigError("shards need either files or keys: what is to be dealt out?")
    if written.keys is not None:
        shards = deal_keys(written.keys[0], written.keys[1], written.shards)
    else:
        folder = Path(specification.working_directory)
        patterns = [written.files] if isinstance(written.files, str) else written.files
        found = sorted(
            {each for pattern in patterns for each in glob.glob(str(folder / pattern), recursive=True)}
        )
        sizes = {each: os.path.getsize(each) for each in found if os.path.isfile(each)}
        if not sizes:
            raise ConfigError(f"no file matches {', '.join(map(str, patterns))} below {folder}")
        shards = deal_files(sizes, written.shards)
    return replace(specification, tasks=len(shards), task_environments=tuple(shards))


def _user() -> str:
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return str(os.getuid())
