"""Orders of waiting jobs on recorded traces, and what a round costs: `python -m benchmarks.ordering`.

Philly: the protocol of Helios' simulation (its virtual clusters, October and November 2017), every virtual
cluster cut to a quarter of its nodes, so that it queues. Takes up to an hour on one core.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.planning_rounds import rounds_table
from steelyard.cluster.node_table import NodeTable
from steelyard.config.job_plugins import make_ordering
from steelyard.model.node import Node
from steelyard.model.resources import Resources
from steelyard.policies.placement.registry import PLACEMENTS
from steelyard.policies.settings import PlacementSettings
from steelyard.scheduling.options import PlanOptions
from steelyard.simulation.foresight import Blind, Foresight, Learned, Oracle
from steelyard.simulation.queue_run import JobOutcome, QueueRun, RunCosts
from steelyard.traces.job import TraceJob
from steelyard.traces.job_readers import (
    CHRONUS_JOBS,
    GAIA_PAI_JOBS,
    PHILLY_JOBS,
    PHILLY_NODES,
    read_jobs,
    read_philly,
)
from steelyard.traces.readers import data_folder

PUBLISHED_FIFO_S, PUBLISHED_SHORTEST_S = 182_058, 29_013
"""Means of the earlier simulation that is to be reproduced within 3 %."""

COSTS = RunCosts(checkpoint_s=30.0, restart_s=30.0, tick_s=300.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: an order, what it knows of durations, and who may pass the first that waits."""

    ordering: str
    durations: str
    backfill: str
    costs: RunCosts = COSTS
    min_run_s: float = 900.0

    def run(self, nodes: int, jobs: Sequence[TraceJob], gpus: int = 8, cores: float = 96) -> list[JobOutcome]:
        """Simulate one cluster of equal nodes."""
        capacity = Resources(cpu_cores=cores, memory_bytes=1 << 40, gpus=gpus)
        table = NodeTable(Node(node_id=f"n{at:03d}", capacity=capacity) for at in range(nodes))
        options = PlanOptions(
            ordering=make_ordering(self.ordering),
            placement=PLACEMENTS["first-fit"](PlacementSettings(rng=random.Random(1))),
            backfill=self.backfill,
            explain=False,
            min_run_s=self.min_run_s,
            backfill_depth=10**9 if self.backfill == "greedy" else 500,
        )
        return QueueRun(table, options, FORESIGHT[self.durations](), self.costs, gpus).run(jobs)


FORESIGHT: dict[str, Callable[[], Foresight]] = {"true": Oracle, "learned": Learned, "none": Blind}

PHILLY = (
    Setting("fifo", "none", "none"),
    Setting("shortest", "true", "none"),
    Setting("shortest-service", "true", "none"),
    Setting("shortest-service", "learned", "none"),
    Setting("shortest-service", "learned", "greedy"),
    Setting("learned-index", "none", "easy"),
    Setting("learned-index", "learned", "easy"),
    Setting("learned-index", "none", "greedy"),
    Setting("least-attained", "none", "greedy"),
)
LEARNED = ("learned-index", "learned-remaining")
TICKS = RunCosts(checkpoint_s=1, restart_s=1, tick_s=5)
CHRONUS = (
    Setting("deadline-preemptive", "true", "greedy", TICKS, 15),
    Setting("deadline-preemptive", "learned", "greedy", TICKS, 15),
    Setting("deadline", "true", "greedy"),
    Setting("deadline", "learned", "greedy"),
    Setting("fifo", "none", "none"),
    Setting("fifo", "none", "greedy"),
    Setting("shortest-service", "true", "greedy"),
    Setting("shortest-service", "learned", "greedy"),
    Setting("least-attained", "none", "greedy", TICKS, 15),
    Setting("fair-share", "none", "greedy"),
    Setting("priority", "none", "greedy"),
)
CHRONUS_JOBS_USED, CHRONUS_NODES = 10_000, 112
GAIA = (
    Setting("fifo", "none", "none"),
    Setting("fifo", "learned", "easy"),
    Setting("shortest-service", "true", "none"),
    Setting("shortest-service", "learned", "none"),
)
GAIA_JOBS_USED, GAIA_NODES, GAIA_CORES = 10_000, 2, 64


def mean_completion_s(outcomes: Sequence[JobOutcome]) -> float:
    """From submission to end."""
    return statistics.fmean(each.completion_s for each in outcomes)


def row(setting: Setting, outcomes: Sequence[JobOutcome], took_s: float, *more: str) -> str:
    """A line of a table."""
    cells = (
        setting.ordering,
        setting.durations,
        setting.backfill,
        f"{mean_completion_s(outcomes):,.0f}",
        f"{statistics.median(each.completion_s for each in outcomes):,.0f}",
        f"{statistics.fmean(each.waited_s for each in outcomes):,.0f}",
        f"{sum(each.stops for each in outcomes):,}",
        *more,
        f"{took_s:.0f}",
    )
    return "| " + " | ".join(cells) + " |"


HEAD = "| order | durations | who may pass | mean completion, s | median, s | mean wait, s | stops |"


def philly(folder: Path) -> list[str]:
    """All virtual clusters at a quarter."""
    jobs = read_philly(folder / PHILLY_JOBS)
    lines = [f"{HEAD} of oracle shortest | processor, s |", "|---|---|---|---:|---:|---:|---:|---:|---:|"]
    oracle_s = 0.0
    for setting in PHILLY:
        started_s = time.process_time()
        outcomes: list[JobOutcome] = []
        for tenant, nodes in PHILLY_NODES.items():
            outcomes += setting.run(nodes // 4, [job for job in jobs if job.tenant == tenant])
        if setting == PHILLY[1]:
            oracle_s = mean_completion_s(outcomes)
        share = f"{mean_completion_s(outcomes) / oracle_s:.3f}" if oracle_s else ""
        lines.append(row(setting, outcomes, time.process_time() - started_s, share))
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def one_cluster(
    jobs: Sequence[TraceJob],
    settings: Sequence[Setting],
    nodes: int,
    gpus: int,
    cores: float,
    deadlines: bool,
) -> list[str]:
    """A trace on one cluster."""
    title = " in time, of those with a deadline | all in time |" if deadlines else ""
    dashes = "---:|---:|" if deadlines else ""
    lines = [f"{HEAD}{title} processor, s |", f"|---|---|---|---:|---:|---:|---:|{dashes}---:|"]
    for setting in settings:
        started_s = time.process_time()
        outcomes = setting.run(nodes, jobs, gpus, cores)
        more: list[str] = []
        if deadlines:
            dated = [each for each in outcomes if each.job.deadline_s is not None]
            met = sum(each.in_time for each in dated)
            more = [f"{met / len(dated):.1%}", f"{met:,} of {len(dated):,}"]
        lines.append(row(setting, outcomes, time.process_time() - started_s, *more))
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def philly_variations(folder: Path) -> list[str]:
    """How steady the learned orders are: other times, other cuts, other jobs than those of the main table."""
    jobs = read_philly(folder / PHILLY_JOBS)
    times = [job.submitted_s for job in jobs]
    middle_s = (min(times) + max(times)) / 2
    variations = (
        ("first month, a quarter", [job for job in jobs if job.submitted_s < middle_s], 1 / 4),
        ("second month, a quarter", [job for job in jobs if job.submitted_s >= middle_s], 1 / 4),
        ("every second job, an eighth", jobs[1::2], 1 / 8),
        ("all, a third", jobs, 1 / 3),
    )
    lines = [
        f"| jobs, part of the nodes | jobs | oracle shortest, s | {' | '.join(LEARNED)} |",
        "|---|---:|---:|" + "---:|" * len(LEARNED),
    ]
    for name, chosen, part in variations:
        figures = [
            _mean_of_clusters(Setting(ordering, durations, backfill), chosen, part)
            for ordering, durations, backfill in (
                ("shortest", "true", "none"),
                *((each, "none", "easy") for each in LEARNED),
            )
        ]
        shares = " | ".join(f"{each / figures[0]:.3f}" for each in figures[1:])
        lines.append(f"| {name} | {len(chosen):,} | {figures[0]:,.0f} | {shares} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def _mean_of_clusters(setting: Setting, jobs: Sequence[TraceJob], part: float) -> float:
    outcomes: list[JobOutcome] = []
    for tenant, nodes in PHILLY_NODES.items():
        outcomes += setting.run(max(1, int(nodes * part)), [job for job in jobs if job.tenant == tenant])
    return mean_completion_s(outcomes)


def variations_part(folder: Path) -> list[str]:
    """Its section."""
    return [
        "## Philly, other times, cuts and jobs",
        "",
        "How steady what is learned is: mean completion over that of the oracle (shortest first, strict) on",
        "the same jobs and nodes. Each virtual cluster learns alone and begins with nothing.",
        "",
        *philly_variations(folder),
        "",
    ]


def philly_part(folder: Path) -> list[str]:
    """Its section."""
    return [
        "## Philly, October and November 2017, 11 virtual clusters at a quarter of their nodes, 68,503 jobs",
        "",
        f"To be reproduced within 3 %: first in, first out {PUBLISHED_FIFO_S:,} s, oracle shortest",
        f"{PUBLISHED_SHORTEST_S:,} s (strict). The cut has no user and no job names, so what is learned is",
        "learned by virtual cluster and GPUs. The first row leans on ties: many jobs are submitted in the",
        "same second; a separate small simulation with other tie and fit rules gave 184,600 to 219,700 s.",
        "",
        *philly(folder),
        "",
    ]


def chronus_part(folder: Path) -> list[str]:
    """Its section."""
    jobs = read_jobs(folder / CHRONUS_JOBS, limit=CHRONUS_JOBS_USED)
    return [
        f"## Chronus (MIX2), first {CHRONUS_JOBS_USED:,} jobs, {CHRONUS_NODES} nodes of 8 GPUs",
        "",
        "Strict and soft jobs have a deadline (the first of a soft one's); times are the trace's ticks; a",
        "checkpoint and a restart take one each.",
        "",
        *one_cluster(jobs, CHRONUS, CHRONUS_NODES, 8, 96, deadlines=True),
        "",
    ]


def gaia_part(folder: Path) -> list[str]:
    """Its section."""
    jobs = [
        job for job in read_jobs(folder / GAIA_PAI_JOBS, limit=GAIA_JOBS_USED) if job.cpu_cores <= GAIA_CORES
    ]
    return [
        f"## GAIA: Alibaba PAI, first {GAIA_JOBS_USED:,} jobs, {GAIA_NODES} nodes of {GAIA_CORES} cores",
        "",
        f"{len(jobs):,} of them fit a node.",
        "",
        *one_cluster(jobs, GAIA, GAIA_NODES, 0, GAIA_CORES, deadlines=False),
        "",
    ]


def rounds_part(folder: Path) -> list[str]:
    """Its section."""
    return ["## A planning round with 10,000 waiting jobs on 1,000 full nodes", "", *rounds_table()]


PARTS: dict[str, Callable[[Path], list[str]]] = {
    "philly": philly_part,
    "variations": variations_part,
    "chronus": chronus_part,
    "gaia": gaia_part,
    "rounds": rounds_part,
}


def run(parts: Sequence[str] = ()) -> str:
    """The page, or the parts of it that are named. Raises SystemExit without the traces."""
    folder = data_folder()
    if folder is None:
        sys.exit("needs public traces: set STEELYARD_DATA to their folder")
    if unknown := sorted(set(parts) - set(PARTS)):
        sys.exit(f"no part is called {unknown[0]!r}: there are {', '.join(PARTS)}")
    lines = [
        "# Orders of waiting jobs",
        "",
        f"{describe()}. Durations: *true* is an oracle, *learned* knows what ended before, *none* is told",
        "nothing (`learned-index` learns by itself). Who may pass the first that waits: *none* (strict),",
        "*easy* (who does not delay it), *greedy* (who fits). Orders that preempt pay 30 s for a checkpoint",
        "and 30 s for a restart each time, and leave a job alone for its first 15 minutes.",
        "Placement: first fit by name. Made by `python -m benchmarks.ordering`.",
        "",
    ]
    for name in parts or PARTS:
        lines += PARTS[name](folder)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(run(sys.argv[1:]), end="")
