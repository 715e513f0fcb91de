"""How tightly placement policies pack, how they live with churn, and what a placement costs.

The openb traces come from the folder of public traces; without it only generated clusters are measured.
Process time, not wall time, so that other work on the machine does not count.
"""

import csv
import gzip
import multiprocessing
import random
import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.placement_workloads import NODES
from benchmarks.placement_workloads import WORKLOADS as TRAITS
from steelyard.cluster.node_table import NodeTable
from steelyard.model.node import RACK, ZONE, Node
from steelyard.model.placement_policy import Placement
from steelyard.policies.placement.registry import DEFAULT_PLACEMENT, PLACEMENTS
from steelyard.policies.request_mix import RequestMix
from steelyard.policies.settings import PlacementSettings
from steelyard.simulation.cluster_load import CHURN, churn
from steelyard.simulation.placement_report import PlacementReport
from steelyard.simulation.placement_trials import Trial
from steelyard.traces.cluster import ClusterTrace
from steelyard.traces.cluster_generator import generate_cluster
from steelyard.traces.cluster_readers import OPENB, OPENB_NODES, read_nodes, read_tasks
from steelyard.traces.readers import data_folder

PUBLISHED_AS = {
    "random": "01-Random",
    "dot-product": "02-DotProd",
    "gpu-clustering": "03-GpuClustering",
    "gpu-packing": "04-GpuPacking",
    "best-fit": "05-BestFit",
    "fgd": "06-FGD",
}
WORKLOADS = [
    "default",
    "cpu050",
    "cpu100",
    "cpu200",
    "gpushare40",
    "gpushare80",
    "gpuspec10",
    "gpuspec20",
    "gpuspec25",
    "multigpu20",
    "multigpu30",
    "multigpu40",
]
FIRST_SEED = 42
SEEDS, FEW_SEEDS = 10, 2
NEAR = ("affinity", "topology-pack", "topology-spread", "data-locality", "device-type")
COMPARED = ("best-fit", "fgd", DEFAULT_PLACEMENT)
GENERATED_SEEDS = range(1, 11)
TRAIT_SEEDS = range(1, 4)
SPEED_NODES, SPEED_TASKS = 5_000, 100_000
Expected = dict[tuple[str, str], tuple[float, float]]


def openb(folder: Path, workload: str) -> ClusterTrace:
    """One workload on the nodes of the openb cluster."""
    plain = folder / OPENB / f"openb_pod_list_{workload}.csv"
    path = plain if plain.exists() else plain.with_suffix(".csv.gz")
    nodes = tuple(read_nodes(folder / OPENB_NODES))
    return ClusterTrace(name=f"openb {workload}", nodes=nodes, tasks=tuple(read_tasks(path)))


def expected(folder: Path) -> Expected:
    """(workload, policy) → published allocation in percent at 130 % and 100 %, mean of ten seeds."""
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    path = folder / OPENB / "fgd_expected_analysis_allo_discrete.csv.gz"
    for row in csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()):
        key = row["workload"].removeprefix("openb_pod_list_"), row["sc_policy"]
        rows.setdefault(key, []).append((float(row["130"]), float(row["100"])))
    return {
        key: (statistics.fmean(each[0] for each in values), statistics.fmean(each[1] for each in values))
        for key, values in rows.items()
    }


def measure(trial: Trial, policy: str, seeds: int) -> PlacementReport:
    """Means over seeds."""
    return trial.compare(policy, range(FIRST_SEED, FIRST_SEED + seeds))[0]


def openb_default(folder: Path, known: Expected) -> list[str]:
    """Every policy on the default workload, beside what was published."""
    trial = Trial(trace=openb(folder, "default"))
    lines = [
        "## openb, default workload",
        "",
        f"{trial.capacity_text()}; tasks in random order, then more at random until 130 % of the GPUs",
        "had been asked for; nobody leaves. GPUs allocated in percent, mean ± standard deviation of",
        f"{SEEDS} seeds from {FIRST_SEED} on. Ties by name, unless said otherwise. Published:",
        "`fgd_expected_analysis_allo_discrete`.",
        "",
        "| policy | at 130 % | at 100 % | published at 130 % | at 100 % |",
        "|---|---:|---:|---:|---:|",
    ]
    for policy in (*PUBLISHED_AS, DEFAULT_PLACEMENT):
        figures = measure(trial, policy, SEEDS)
        lines.append(_row(policy, figures, known.get(("default", PUBLISHED_AS.get(policy, "")))))
    for policy in ("fgd", DEFAULT_PLACEMENT):
        figures = measure(Trial(trace=trial.trace, random_ties=True), policy, SEEDS)
        lines.append(_row(f"{policy}, random ties", figures, None))
    learned = Trial(trace=trial.trace, known_mix=False)
    for policy in ("fgd", DEFAULT_PLACEMENT):
        name = f"{policy}, mix learned from arrivals"
        lines.append(_row(name, measure(learned, policy, FEW_SEEDS), None))
    return lines


def _row(name: str, figures: PlacementReport, published: tuple[float, float] | None) -> str:
    allocated = f"{figures.allocated:.2f} ± {figures.allocated_deviation:.2f}"
    cells = [f"{each:.2f}" for each in published] if published else ["–", "–"]
    return f"| {name} | {allocated} | {figures.allocated_at_100:.2f} | {' | '.join(cells)} |"


def openb_workloads(folder: Path, known: Expected) -> list[str]:
    """The other workloads."""
    lines = [
        "",
        "## openb, all workloads",
        "",
        f"At 130 % (at 100 %) of arrived demand, seed {FIRST_SEED}, ties by name; published is the mean",
        "of ten seeds.",
        "",
        f"| workload | FGD as published | {' | '.join(COMPARED)} |",
        "|---" * (2 + len(COMPARED)) + "|",
    ]
    for workload in WORKLOADS:
        trial = Trial(trace=openb(folder, workload))
        figures = [measure(trial, policy, 1) for policy in COMPARED]
        cells = [f"{each.allocated:.2f} ({each.allocated_at_100:.2f})" for each in figures]
        at_130, at_100 = known[workload, PUBLISHED_AS["fgd"]]
        lines.append(f"| {workload} | {at_130:.2f} ({at_100:.2f}) | {' | '.join(cells)} |")
    return lines


def generated() -> list[str]:
    """Clusters and workloads that no policy was tuned on."""
    lines = [
        "",
        "## Generated clusters",
        "",
        "300 nodes and 40 shapes of tasks, others with each seed (`traces.cluster_generator`). Allocated at",
        "130 % of arrived demand, in percent; and what was refused, in percent of demand, when tasks come",
        "and go with 90 % of the GPUs asked for.",
        "",
        f"| seed | {' | '.join(COMPARED)} | {' | '.join(f'{each}, refused' for each in COMPARED)} |",
        "|---" * (1 + 2 * len(COMPARED)) + "|",
    ]
    sums = [0.0] * (2 * len(COMPARED))
    for seed in GENERATED_SEEDS:
        trace = generate_cluster(300, seed)
        still, moving = Trial(trace=trace), Trial(trace=trace, load=CHURN, arrivals=6_000)
        values = [measure(still, policy, FEW_SEEDS).allocated for policy in COMPARED]
        values += [measure(moving, policy, 1).refused_percent for policy in COMPARED]
        sums = [total + value for total, value in zip(sums, values, strict=True)]
        lines.append(f"| {seed} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    means = " | ".join(f"**{total / len(GENERATED_SEEDS):.2f}**" for total in sums)
    lines.append(f"| mean | {means} |")
    return lines


def traits() -> list[str]:
    """Mixes with one trait carried far."""
    lines = [
        "",
        "## Mixes that are in no trace",
        "",
        f"{NODES} nodes and a mix with one trait carried far (`benchmarks.placement_workloads`), mean of",
        f"{len(TRAIT_SEEDS)} clusters. Allocated at 130 % of arrived demand, in percent; and what was",
        "refused, in percent of demand, when tasks come and go with 90 % of the GPUs asked for.",
        "",
        f"| mix | {' | '.join(COMPARED)} | {' | '.join(f'{each}, refused' for each in COMPARED)} |",
        "|---" * (1 + 2 * len(COMPARED)) + "|",
    ]
    for workload in TRAITS:
        still = [Trial(trace=workload.trace(seed)) for seed in TRAIT_SEEDS]
        moving = [Trial(trace=each.trace, load=CHURN, arrivals=4_000) for each in still]
        values = [
            statistics.fmean(measure(trial, policy, 1).allocated for trial in still) for policy in COMPARED
        ]
        values += [
            statistics.fmean(measure(trial, policy, 1).refused_percent for trial in moving)
            for policy in COMPARED
        ]
        lines.append(f"| {workload.name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return lines


def openb_churn(folder: Path) -> list[str]:
    """Tasks that come and go."""
    lines = [
        "",
        "## openb with tasks that leave",
        "",
        "12,000 arrivals drawn from the workload; before each, tasks leave at random until 90 % of the GPUs",
        "are asked for. What was refused, in percent of the demand.",
        "",
        f"| workload | {' | '.join(COMPARED)} |",
        "|---" * (1 + len(COMPARED)) + "|",
    ]
    for workload in ("default", "cpu200", "gpushare80", "gpuspec25", "multigpu20", "multigpu40"):
        trial = Trial(trace=openb(folder, workload), load=CHURN, used=0.9, arrivals=12_000)
        cells = [f"{measure(trial, policy, 1).refused_percent:.2f}" for policy in COMPARED]
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    return lines


def large_cluster(folder: Path | None) -> ClusterTrace:
    """5,000 nodes in the openb cluster's proportions, or generated ones."""
    if folder is None:
        return generate_cluster(SPEED_NODES, FIRST_SEED)
    trace = openb(folder, "default")
    kinds = [trace.nodes[at * len(trace.nodes) // SPEED_NODES] for at in range(SPEED_NODES)]
    nodes = tuple(
        Node(node_id=f"node-{at:04d}", capacity=kind.capacity, labels=kind.labels)
        for at, kind in enumerate(kinds)
    )
    return ClusterTrace(name="openb, enlarged", nodes=nodes, tasks=trace.tasks)


def labelled(trace: ClusterTrace, rng: random.Random) -> ClusterTrace:
    """The same in 125 racks of 5 zones, with jobs of four tasks that want company and have data somewhere."""
    nodes = tuple(
        replace(node, labels={**node.labels, RACK: f"r{at % 125}", ZONE: f"z{at % 5}"})
        for at, node in enumerate(trace.nodes)
    )
    tasks = []
    for at, task in enumerate(trace.tasks):
        key, holder = f"app{rng.randrange(200)}", rng.choice(nodes)
        claim = replace(
            task.claim,
            job_id=f"j{at // 4}",
            keys=(key,),
            affinity_keys=(key,) if rng.random() < 0.7 else (),
            data_bytes={holder.node_id: 1e9, rng.choice(nodes).labels[RACK]: 1e9},
        )
        tasks.append(replace(task, claim=claim))
    return ClusterTrace(name=f"{trace.name}, in racks", nodes=nodes, tasks=tuple(tasks))


def speed_of(policy: str) -> tuple[float, float, float]:
    """Placements a second (what makes room for them counted in), refused tasks, MiB of memory at most."""
    rng = random.Random(FIRST_SEED)
    trace = large_cluster(data_folder())
    if policy in NEAR:
        trace = labelled(trace, rng)
    events = list(churn(trace, 0.9, SPEED_TASKS, rng))
    table = NodeTable(trace.nodes)
    mix = RequestMix.of(task.claim for task in trace.tasks)
    placing = PLACEMENTS[policy](PlacementSettings(rng=rng, mix=mix))
    refused = 0
    began_s = time.process_time()
    for event in events:
        if event.claim is None:
            if event.task_id in table.reservations:
                table.release(event.task_id)
        elif isinstance(placed := placing.place(event.claim, table, 0.0), Placement):
            table.reserve(placed, event.claim)
        else:
            refused += 1
    spent_s = time.process_time() - began_s
    return SPEED_TASKS / spent_s, refused, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed() -> list[str]:
    """What a placement costs in a large cluster. Each policy in a process of its own, for its memory."""
    trace = large_cluster(data_folder())
    lines = [
        "",
        "## Speed",
        "",
        f"{SPEED_NODES:,} nodes ({trace.name}), {SPEED_TASKS:,} tasks that come and go with 90 % of the GPUs",
        "asked for: place and reserve, and release what leaves. One core, process time; memory is the whole",
        "process' most, the load included. Policies that follow other tasks or data have them: 125 racks in",
        "5 zones, jobs of four tasks, 70 % of the tasks near others of their kind, data on a node and in a",
        "rack.",
        "",
        "| policy | placements a second | refused | memory, MiB |",
        "|---|---:|---:|---:|",
    ]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for policy in (*COMPARED, *NEAR):
            rate, refused, memory_mib = pool.apply(speed_of, (policy,))
            lines.append(f"| {policy} | {rate:,.0f} | {refused:,.0f} | {memory_mib:,.0f} |")
    return lines


def sections() -> Iterator[list[str]]:
    """The page's parts, each measured when it is asked for."""
    folder = data_folder()
    yield ["# Placement", "", f"{describe()}. Made by `python -m benchmarks.placement`.", ""]
    if folder is None:
        yield ["The openb traces are not at hand (`STEELYARD_DATA`): only generated clusters follow."]
    else:
        known = expected(folder)
        yield openb_default(folder, known)
    yield speed()
    yield generated()
    yield traits()
    if folder is not None:
        yield openb_churn(folder)
        yield openb_workloads(folder, known)


def run() -> str:
    """Measure, and return the page."""
    return "".join("\n".join(section) + "\n" for section in sections())


if __name__ == "__main__":
    for part in sections():
        print("\n".join(part), flush=True)
