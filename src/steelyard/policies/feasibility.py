"""Filter: which nodes may take a claim, and for each that may not, the first reason.

What every node is asked of every claim alike (amounts, GPU model) is `Blocker`; what only some claims ask
(labels, keys that must not meet, forbidden nodes) is `extra_blocker`. Cost: under a microsecond a node.
"""

from collections.abc import Callable, Mapping

from steelyard.model.placement_policy import WHOLE_GPU, Claim, Demand, NodeColumns, Refusal, demand_of

Blocker = Callable[[int], str]
"""The reason that rules a row out, "" when it fits."""

NOT_USABLE = "not usable"
HOT = "hot"
GPU_MODEL = "gpu model"
LABELS = "labels"
FORBIDDEN = "forbidden"
ANTI_AFFINITY = "anti-affinity"
SPARE = "kept as a spare"
CPU = "cpu"
MEMORY = "memory"
GPUS = "gpus"
GPU_MEMORY = "gpu memory"
IO = "disk or network"


def share_on(demand: Demand, device_memory_bytes: int) -> int:
    """Thousandths of each device: what was asked, or what its memory needs on GPUs of this size."""
    if not demand.device_memory_bytes:
        return demand.share
    if not device_memory_bytes:
        return WHOLE_GPU + 1
    return max(demand.share, -(-demand.device_memory_bytes * WHOLE_GPU // device_memory_bytes))


def blocker(demand: Demand, gpu_models: tuple[str, ...], table: NodeColumns) -> Blocker:
    """A function of a row, to be kept while the table's layout stays."""
    alive_and_usable, hot, models = table.usable, table.hot, table.gpu_models
    cpu_free, memory_free, gpu_free, devices = (
        table.cpu_free,
        table.memory_free,
        table.gpu_free,
        table.devices,
    )
    cpu, memory, gpus, count, share = (
        demand.cpu_milli,
        demand.memory_bytes,
        demand.gpu_milli,
        demand.devices,
        demand.share,
    )
    rare = _rare_blocker(demand, table)

    def block(row: int) -> str:
        if not alive_and_usable[row]:
            return NOT_USABLE
        if count:
            if gpu_models and models[row] not in gpu_models:
                return GPU_MODEL
            if gpu_free[row] < gpus:
                return GPUS
            if count == 1:
                if max(devices[row]) < share:
                    return GPUS
            elif devices[row].count(WHOLE_GPU) < count:
                return GPUS
        if cpu_free[row] < cpu:
            return CPU
        if memory_free[row] < memory:
            return MEMORY
        if hot[row]:
            return HOT
        return rare(row) if rare else ""

    return block


def _rare_blocker(demand: Demand, table: NodeColumns) -> Blocker | None:
    """Checks that most claims do not need."""
    reads, writes, network = demand.io
    if not (reads or writes or network or demand.device_memory_bytes):
        return None

    def block(row: int) -> str:
        free = table.io_free[row]
        if free[0] < reads or free[1] < writes or free[2] < network:
            return IO
        if demand.device_memory_bytes:
            share = share_on(demand, table.device_memory[row])
            if share > WHOLE_GPU or sum(free >= share for free in table.devices[row]) < demand.devices:
                return GPU_MEMORY
        return ""

    return block


def extra_blocker(claim: Claim, table: NodeColumns) -> Blocker | None:
    """What this very claim asks beyond amounts; None when it asks nothing more."""
    labels, forbidden, anti = claim.node_labels, claim.forbidden_nodes, claim.anti_affinity_keys
    if not (labels or forbidden or anti):
        return None

    def block(row: int) -> str:
        if table.node_ids[row] in forbidden:
            return FORBIDDEN
        has = table.labels[row]
        if any(has.get(name) != value for name, value in labels.items()):
            return LABELS
        counts = table.key_counts[row]
        return ANTI_AFFINITY if any(key in counts for key in anti) else ""

    return block


def tightest_devices(demand: Demand, table: NodeColumns, row: int) -> tuple[int, ...]:
    """The GPUs with the least room that suffices, the lowest index first among equals."""
    if not demand.devices:
        return ()
    free = table.devices[row]
    share = share_on(demand, table.device_memory[row])
    fitting = sorted((room, at) for at, room in enumerate(free) if room >= share)
    return tuple(sorted(at for _, at in fitting[: demand.devices]))


def refusal(claim: Claim, demand: Demand, counts: Mapping[str, int]) -> Refusal:
    """Say which resource blocks, on how many nodes."""
    nodes = sum(counts.values())
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    reasons = ", ".join(f"{count:,} {_REASONS.get(reason, reason)}" for reason, count in by_count)
    asked = f"task {claim.task_id!r} ({wanted(demand, claim.gpu_models)})"
    where = f"none of {nodes:,} nodes" if nodes else "no node: none is known"
    return Refusal(dict(by_count), f"{asked} fits on {where}{': ' if reasons else ''}{reasons}")


def why_not(claim: Claim, table: NodeColumns, row: int) -> str:
    """Why a claim does not fit on one node, in words; "" when it does."""
    extra = extra_blocker(claim, table)
    reason = blocker(demand_of(claim.demand), claim.gpu_models, table)(row) or (extra(row) if extra else "")
    return _REASONS.get(reason, reason).removeprefix("with ")


_REASONS = {
    NOT_USABLE: "not usable now",
    HOT: "too hot",
    GPU_MODEL: "with another GPU model",
    LABELS: "without the labels",
    FORBIDDEN: "forbidden to it",
    ANTI_AFFINITY: "holding tasks it must not meet",
    SPARE: "kept as spares",
    CPU: "with too little CPU free",
    MEMORY: "with too little memory free",
    GPUS: "with too little GPU free",
    GPU_MEMORY: "with too little GPU memory free",
    IO: "with too little disk or network rate free",
}


def wanted(demand: Demand, gpu_models: tuple[str, ...] = ()) -> str:
    """A demand in words: "1 GPU, 11.3 cores, 46.0 GiB"."""
    parts = []
    if demand.devices:
        amount = f"{demand.share / WHOLE_GPU:g}" if demand.share < WHOLE_GPU else str(demand.devices)
        kind = f" of {' or '.join(gpu_models)}" if gpu_models else ""
        parts.append(f"{amount} GPU{'s' if demand.devices > 1 else ''}{kind}")
    if demand.device_memory_bytes:
        parts.append(f"{demand.device_memory_bytes / 2**30:.1f} GiB a GPU")
    if demand.cpu_milli:
        parts.append(f"{demand.cpu_milli / 1000:g} cores")
    if demand.memory_bytes:
        parts.append(f"{demand.memory_bytes / 2**30:.1f} GiB")
    return ", ".join(parts) or "no resources"
