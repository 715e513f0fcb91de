"""Readers of public traces of cluster jobs; which one a file needs is seen from its first line.

Philly (Microsoft, 2017; the cut that AdaptDL and Sia use): submission, seconds, GPUs, virtual cluster.
Chronus (SoCC 2021): Philly's jobs with deadlines; times are ticks of that artifact and are kept as seconds.
GAIA (2023, sampled from Alibaba PAI, LANL Mustang, Azure): arrival, length, cores; a trace that spans under
10,000 units is in hours, as the year-long ones are, else in seconds.
"""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from steelyard.model.errors import TraceError
from steelyard.traces.job import TraceJob
from steelyard.traces.text import open_table

PHILLY_JOBS = "cluster/philly/philly_jobs.csv.gz"
CHRONUS_JOBS = "cluster/philly/chronus_philly_MIX2.csv.gz"
GAIA_PAI_JOBS = "cluster/gaia_pai-100k.csv.gz"
GAIA_AZURE_JOBS = "cluster/gaia_azure-100k.csv.gz"

PHILLY_NODES: Mapping[str, int] = {
    "6214e9": 64,
    "7f04ca": 32,
    "11cb48": 16,
    "b436b2": 64,
    "ee9e8c": 64,
    "e13805": 16,
    "6c71a0": 32,
    "2869ce": 16,
    "ed69ec": 8,
    "103959": 8,
    "0e4a51": 32,
}
"""Nodes of 8 GPUs a virtual cluster: HeliosArtifact's philly_vc.csv, which leaves out the others."""

PHILLY_FROM = datetime(2017, 10, 1, tzinfo=UTC)
PHILLY_UNTIL = datetime(2017, 11, 30, 23, 59, tzinfo=UTC)
"""The window of that simulation."""

GAIA_HOURS_SPAN = 10_000


def read_jobs(path: Path, limit: int | None = None) -> list[TraceJob]:
    """Jobs in order of submission. Raises TraceError when the file cannot be understood, OSError when not
    read.
    """
    rows = open_table(path)
    reader = _reader_for(frozenset(rows.fieldnames or ()), path)
    try:
        jobs = list(reader(rows))
        _check(jobs)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise TraceError(
            f"{path}, line {rows.line_num}: cannot be read as a job: {type(error).__name__}: {error}"
        ) from None
    if not jobs:
        raise TraceError(f"{path} holds no jobs")
    jobs.sort(key=lambda job: (job.submitted_s, job.job_id))
    first_s = jobs[0].submitted_s
    if not 0 <= first_s < 1e6:  # calendar time
        jobs = [msgspec.structs.replace(job, submitted_s=job.submitted_s - first_s) for job in jobs]
    return jobs[:limit] if limit is not None else jobs


def _check(jobs: Iterable[TraceJob]) -> None:
    for job in jobs:
        for name in ("submitted_s", "duration_s", "cpu_cores", "gpus"):
            number = float(getattr(job, name))
            if not math.isfinite(number) or (number < 0 and name != "submitted_s"):
                raise ValueError(f"{name} of {job.job_id} is {number}")


def read_philly(path: Path) -> list[TraceJob]:
    """The jobs of Helios' simulation: its virtual clusters, its two months, counted from their beginning."""
    start_s = PHILLY_FROM.timestamp()
    span_s = PHILLY_UNTIL.timestamp() - start_s
    jobs = [
        msgspec.structs.replace(job, submitted_s=job.submitted_s - start_s)
        for job in _philly(open_table(path))
        if job.tenant in PHILLY_NODES and 0 <= job.submitted_s - start_s <= span_s
    ]
    if not jobs:
        raise TraceError(f"{path} holds no jobs of October and November 2017")
    jobs.sort(key=lambda job: (job.submitted_s, job.job_id))
    return jobs


def _reader_for(
    fields: frozenset[str], path: Path
) -> Callable[[Iterable[dict[str, str]]], Iterable[TraceJob]]:
    if {"timestamp", "duration", "num_gpus", "cluster"} <= fields:
        return _philly
    if {"submit_time", "num_gpu", "expect_time_list"} <= fields:
        return _chronus
    if {"arrival_time", "length", "cpus"} <= fields:
        return _gaia
    if {"submitted_s", "duration_s"} <= fields:
        return _plain
    raise TraceError(
        f"{path} is no trace of jobs that is known: use Philly's, Chronus' or GAIA's CSV, or CSV with "
        "submitted_s, duration_s and, as you have them, gpus, cpu_cores, tenant, user, name, deadline_s"
    )


def _philly(rows: Iterable[dict[str, str]]) -> Iterator[TraceJob]:
    for at, row in enumerate(rows):
        yield TraceJob(
            job_id=f"philly-{at:06d}",
            submitted_s=datetime.fromisoformat(row["timestamp"] + "+00:00").timestamp(),
            duration_s=float(row["duration"]),
            gpus=int(row["num_gpus"]),
            tenant=row["cluster"],
            user=row["cluster"],
        )


def _chronus(rows: Iterable[dict[str, str]]) -> Iterator[TraceJob]:
    for row in rows:
        submitted_s = float(row["submit_time"])
        expected = row["expect_time_list"].split("-")[0]
        has_deadline = row["job_type"] != "best" and expected != ""
        yield TraceJob(
            job_id=f"chronus-{int(row['job_id']):06d}",
            submitted_s=submitted_s,
            duration_s=float(row["duration"]),
            gpus=int(row["num_gpu"]),
            tenant=row["user"],
            user=row["user"],
            name=row["model_name"],
            deadline_s=submitted_s + float(expected) if has_deadline else None,
        )


def _gaia(rows: Iterable[dict[str, str]]) -> Iterator[TraceJob]:
    read = [(float(row["arrival_time"]), float(row["length"]), float(row["cpus"])) for row in rows]
    unit_s = 3600.0 if read and max(arrival for arrival, _, _ in read) < GAIA_HOURS_SPAN else 1.0
    for at, (arrival, length, cores) in enumerate(read):
        yield TraceJob(
            job_id=f"gaia-{at:06d}",
            submitted_s=arrival * unit_s,
            duration_s=length * unit_s,
            cpu_cores=cores,
        )


def _plain(rows: Iterable[dict[str, str]]) -> Iterator[TraceJob]:
    for at, row in enumerate(rows):
        deadline = row.get("deadline_s") or ""
        yield TraceJob(
            job_id=row.get("job_id") or f"job-{at:06d}",
            submitted_s=float(row["submitted_s"]),
            duration_s=float(row["duration_s"]),
            gpus=int(row.get("gpus") or 0),
            cpu_cores=float(row.get("cpu_cores") or 0),
            tenant=row.get("tenant") or "",
            user=row.get("user") or "",
            name=row.get("name") or "",
            deadline_s=float(deadline) if deadline else None,
            priority=int(row.get("priority") or 0),
        )
