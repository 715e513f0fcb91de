"""Readers of nodes and of tasks; which one a file needs is seen from its first line.

openb (Alibaba, cluster-trace-gpu-v2023): nodes `sn,cpu_milli,memory_mib,gpu,model`; tasks
`name,cpu_milli,memory_mib,num_gpu,gpu_milli` and, in most files, `gpu_spec` (models, by "|") and times.
GAIA's tasks, and those of the other traces of jobs (`traces.job_readers`): cores and whole GPUs. Plain
nodes: `node_id,cpu_cores` and, as you have them,
`memory_gib,gpus,gpu_memory_gib,gpu_model,rack,zone,spare`. Plain tasks: `task_id,cpu_cores` and, as you
have them, `memory_gib,gpus,gpu_models,job_id,arrived_s,ended_s`.
"""

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from steelyard.model.errors import TraceError
from steelyard.model.node import GPU_MODEL, RACK, ZONE, Node
from steelyard.model.placement_policy import Claim
from steelyard.model.resources import RESOURCE_NAMES, Resources
from steelyard.traces.cluster import TraceTask
from steelyard.traces.job import TraceJob
from steelyard.traces.text import open_table

OPENB = "cluster/openb"
OPENB_NODES = f"{OPENB}/openb_node_list_gpu_node.csv"
OPENB_TASKS = f"{OPENB}/openb_pod_list_default.csv"

MIB, GIB = 2**20, 2**30

Row = dict[str, str]
Item = TypeVar("Item")


def read_nodes(path: Path) -> list[Node]:
    """Nodes in the file's order. Raises TraceError when it cannot be understood, OSError when not read."""
    nodes = _read(path, _node_reader, "nodes")
    seen: set[str] = set()
    for node in nodes:
        if node.node_id in seen:
            raise TraceError(f"{path} names node {node.node_id!r} twice: give each its own name")
        seen.add(node.node_id)
    return nodes


def read_tasks(path: Path) -> list[TraceTask]:
    """Tasks in the file's order. Raises TraceError when it cannot be understood, OSError when not read."""
    return _read(path, _task_reader, "tasks")


def tasks_of_jobs(jobs: Iterable[TraceJob]) -> list[TraceTask]:
    """The jobs of a trace of jobs, a task each."""
    return [
        TraceTask(
            claim=Claim(
                task_id=job.job_id,
                demand=Resources(cpu_cores=job.cpu_cores, gpus=job.gpus),
                expected_time_s=job.duration_s,
            ),
            arrived_s=job.submitted_s,
            ended_s=job.submitted_s + job.duration_s,
        )
        for job in jobs
    ]


def is_tasks_file(path: Path) -> bool:
    """Whether a file holds tasks with their shapes (openb or plain), and is no trace of jobs."""
    return _task_reader(frozenset(open_table(path).fieldnames or ())) is not None


def _read(
    path: Path,
    reader_for: Callable[[frozenset[str]], Callable[[Iterable[Row]], Iterator[Item]] | None],
    what: str,
) -> list[Item]:
    rows = open_table(path)
    reader = reader_for(frozenset(rows.fieldnames or ()))
    if reader is None:
        raise TraceError(
            f"{path} holds no {what} that are known: use openb's CSV, or CSV with "
            + ("node_id and cpu_cores" if what == "nodes" else "task_id and cpu_cores")
        )
    try:
        items = list(reader(rows))
        for item in items:
            _check(item)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise TraceError(f"{path}, line {rows.line_num}: cannot be read: {error}") from None
    if not items:
        raise TraceError(f"{path} holds no {what}")
    return items


def _check(item: object) -> None:
    """Raises ValueError for an amount that is no finite number."""
    if isinstance(item, Node):
        name, amounts = item.node_id, item.capacity
    elif isinstance(item, TraceTask):
        name, amounts = item.claim.task_id, item.claim.demand
    else:
        return
    if not all(math.isfinite(getattr(amounts, each)) for each in RESOURCE_NAMES):
        raise ValueError(f"{name!r} has an amount that is no finite number")


def _node_reader(fields: frozenset[str]) -> Callable[[Iterable[Row]], Iterator[Node]] | None:
    if {"sn", "cpu_milli", "memory_mib", "gpu", "model"} <= fields:
        return _openb_nodes
    return _plain_nodes if {"node_id", "cpu_cores"} <= fields else None


def _task_reader(fields: frozenset[str]) -> Callable[[Iterable[Row]], Iterator[TraceTask]] | None:
    if {"name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"} <= fields:
        return _openb_tasks
    return _plain_tasks if {"task_id", "cpu_cores"} <= fields else None


def _openb_nodes(rows: Iterable[Row]) -> Iterator[Node]:
    for row in rows:
        capacity = Resources(
            cpu_cores=int(row["cpu_milli"]) / 1000,
            memory_bytes=int(row["memory_mib"]) * MIB,
            gpus=int(row["gpu"]),
        )
        yield Node(
            node_id=row["sn"], capacity=capacity, labels={GPU_MODEL: row["model"]} if row["model"] else {}
        )


def _openb_tasks(rows: Iterable[Row]) -> Iterator[TraceTask]:
    for row in rows:
        gpus = int(row["num_gpu"])
        share = int(row["gpu_milli"]) / 1000
        models = row.get("gpu_spec") or ""
        demand = Resources(
            cpu_cores=int(row["cpu_milli"]) / 1000,
            memory_bytes=int(row["memory_mib"]) * MIB,
            gpus=share if gpus == 1 else gpus,
        )
        yield TraceTask(
            claim=Claim(
                task_id=row["name"],
                demand=demand,
                gpu_models=tuple(sorted(set(models.split("|")))) if models else (),
            ),
            arrived_s=float(row.get("creation_time") or 0),
            ended_s=float(row["deletion_time"]) if row.get("deletion_time") else None,
        )


def _plain_nodes(rows: Iterable[Row]) -> Iterator[Node]:
    for row in rows:
        capacity = Resources(
            cpu_cores=float(row["cpu_cores"]),
            memory_bytes=_number(row, "memory_gib") * GIB,
            gpus=_number(row, "gpus"),
            gpu_memory_bytes=_number(row, "gpu_memory_gib") * GIB,
        )
        labels = {name: row[name] for name in (GPU_MODEL, RACK, ZONE) if row.get(name)}
        yield Node(
            node_id=row["node_id"], capacity=capacity, labels=labels, spare=bool(_number(row, "spare"))
        )


def _plain_tasks(rows: Iterable[Row]) -> Iterator[TraceTask]:
    for row in rows:
        demand = Resources(
            cpu_cores=float(row["cpu_cores"]),
            memory_bytes=_number(row, "memory_gib") * GIB,
            gpus=_number(row, "gpus"),
        )
        models = row.get("gpu_models") or ""
        yield TraceTask(
            claim=Claim(
                task_id=row["task_id"],
                demand=demand,
                job_id=row.get("job_id") or "",
                gpu_models=tuple(sorted(set(models.split("|")))) if models else (),
            ),
            arrived_s=_number(row, "arrived_s"),
            ended_s=float(row["ended_s"]) if row.get("ended_s") else None,
        )


def _number(row: Row, name: str) -> float:
    return float(row.get(name) or 0)
