"""Loads made from a cluster's trace: arrivals only, or arrivals and ends.

- `inflate`: the protocol of the openb experiments (Weng et al., USENIX ATC 2023): tasks in random order,
  then more of them at random, until what has been asked for reaches a share of the cluster's GPUs; nobody
  leaves.
- `churn`: tasks drawn at random for ever; before each, tasks at random leave, until what runs and what comes
  stays below a share of the cluster. The load under which a policy has to live.
- `recorded`: arrivals and ends at their recorded times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from steelyard.model.errors import TraceError
from steelyard.model.placement_policy import Claim
from steelyard.traces.cluster import ClusterTrace, TraceTask

INFLATED, CHURN, RECORDED = "inflated", "churn", "recorded"
LOADS = (INFLATED, CHURN, RECORDED)


@dataclass(frozen=True, slots=True)
class Event:
    """A task arrives (claim), or one that arrived before leaves (claim is None)."""

    task_id: str
    claim: Claim | None


def inflate(trace: ClusterTrace, demand: float, rng: Random) -> list[Event]:
    """demand: what is asked for in all, as a share of the cluster. Raises TraceError when nothing is."""
    _check(trace)
    tasks = list(trace.tasks)
    rng.shuffle(tasks)
    # In thousandths, for a sum of shares in floating point depends on their order.
    wanted, asked = round(demand * trace.capacity * 1000), 0
    events: list[Event] = []
    while asked < wanted:
        at = len(events)
        task = tasks[at] if at < len(tasks) else trace.tasks[rng.randrange(len(tasks))]
        asked += round(trace.asked(task.claim) * 1000)
        events.append(_arrival(task, at))
    return events


def churn(trace: ClusterTrace, used: float, arrivals: int, rng: Random) -> Iterator[Event]:
    """used: what runs, as a share of the cluster. Tasks that were refused leave like the others."""
    _check(trace)
    running: list[tuple[str, float]] = []
    in_use, limit = 0.0, used * trace.capacity
    for at in range(arrivals):
        task = trace.tasks[rng.randrange(len(trace.tasks))]
        amount = trace.asked(task.claim)
        while running and in_use + amount > limit:
            leaves = rng.randrange(len(running))
            running[leaves], running[-1] = running[-1], running[leaves]
            task_id, freed = running.pop()
            in_use -= freed
            yield Event(task_id, None)
        arrival = _arrival(task, at)
        running.append((arrival.task_id, amount))
        in_use += amount
        yield arrival


def _check(trace: ClusterTrace) -> None:
    if not any(trace.asked(task.claim) for task in trace.tasks):
        what = "GPU" if trace.by_gpu else "CPU"
        raise TraceError(f"no task of {trace.name} asks for {what}: this load needs some that do")


def recorded(tasks: Sequence[TraceTask]) -> list[Event]:
    """By time; at the same time ends come before arrivals."""
    timed: list[tuple[float, int, int, Event]] = []
    for at, task in enumerate(tasks):
        arrival = _arrival(task, at)
        timed.append((task.arrived_s, 1, at, arrival))
        if task.ended_s is not None:
            # One that took no time still comes before it goes.
            timed.append(
                (task.ended_s, 0 if task.ended_s > task.arrived_s else 2, at, Event(arrival.task_id, None))
            )
    return [event for *_, event in sorted(timed, key=lambda each: each[:3])]


def _arrival(task: TraceTask, at: int) -> Event:
    task_id = f"{at:07d}"
    return Event(task_id, replace(task.claim, task_id=task_id))
