"""Where gangs go: backups, slow nodes, survivors, and what is never possible."""

from dataclasses import replace

import pytest
from tests.harness.clusters import FirstFit, job, nodes, running

from steelyard.model.errors import ConfigError
from steelyard.model.placement_policy import Placement
from steelyard.model.resources import Resources
from steelyard.policies.ordering.fair_share import FairShare
from steelyard.policies.ordering.fifo import Fifo
from steelyard.scheduling.explanation import explain
from steelyard.scheduling.gangs import fits_empty
from steelyard.scheduling.memory import RoundMemory
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.planner import plan

FIFO = PlanOptions(ordering=Fifo(), placement=FirstFit())


def places_of(decided_starts: object) -> list[str]:
    return [each.node_id for each in decided_starts.placements.values()]  # type: ignore[attr-defined]  # the starts of a Plan


def test_the_backup_is_tried_first_after_a_failure_only() -> None:
    fresh, again = job("t5", backup="n02"), job("t5", backup="n02", attempt=1)
    assert places_of(plan([fresh], [], nodes(3), FIFO, 0.0).starts["t5"]) == ["n00"]
    assert places_of(plan([again], [], nodes(3), FIFO, 0.0).starts["t5"]) == ["n02"]


def test_a_node_on_which_its_like_ran_long_is_tried_last() -> None:
    careful = replace(FIFO, slow_nodes=lambda _: ("n00", "n01"))
    assert places_of(plan([job("a", 8)], [], nodes(3), careful, 0.0).starts["a"]) == ["n02"]
    decided = plan([job("a", 8, 3)], [], nodes(3), careful, 0.0)
    assert len(decided.starts["a"].placements) == 3, "slow is better than not at all"


def test_survivors_keep_their_places_and_only_the_rest_is_sought() -> None:
    table = nodes(3)
    gang = job("g", 8, 2)
    kept = {"g/0": Placement("n01", tuple(range(8)), 0.0, "kept")}
    table.reserve(kept["g/0"], gang.claims[0])
    decided = plan([replace(gang, kept=kept, attempt=1)], [], table, FIFO, 0.0)
    assert places_of(decided.starts["g"]) == ["n01", "n00"]


def test_an_incomplete_gang_goes_before_a_fresh_job_that_fair_share_favours() -> None:
    """volcano#5805: after a node's repair a gang stayed incomplete for ever, since others were owed more."""
    table = nodes(2)
    gang = job("g", 8, 2, tenant="rich")
    kept = {"g/0": Placement("n00", tuple(range(8)), 0.0, "kept")}
    table.reserve(kept["g/0"], gang.claims[0])
    policy = FairShare()
    policy.observe_use(gang, 1e6, 0.0)
    fair = PlanOptions(ordering=policy, placement=FirstFit())
    waiting = replace(gang, kept=kept, attempt=1, submitted_s=50.0)
    decided = plan([waiting, job("fresh", 8, tenant="poor")], [], table, fair, 100.0)
    assert set(decided.starts) == {"g"}


def test_one_of_two_incomplete_gangs_gives_way_and_the_other_starts_in_the_same_round() -> None:
    table = nodes(2)
    red, blue = job("red", 8, 2, submitted_s=1), job("blue", 8, 2, submitted_s=2)
    for at, gang in enumerate((red, blue)):
        place = Placement(f"n0{at}", tuple(range(8)), 0.0, "kept")
        table.reserve(place, gang.claims[0])
    queue = [
        replace(red, kept={"red/0": Placement("n00", tuple(range(8)), 0.0, "kept")}),
        replace(blue, kept={"blue/0": Placement("n01", tuple(range(8)), 0.0, "kept")}),
    ]
    decided = plan(queue, [], table, FIFO, 10.0)
    assert set(decided.releases) == {"blue"}
    assert set(decided.starts) == {"red"}
    patient = [replace(each, kept_until_s=60.0) for each in queue]
    decided = plan(patient, [], table, FIFO, 10.0)
    assert decided.empty
    assert set(decided.waits) == {"red", "blue"}


def test_what_never_fits_is_told_from_what_waits() -> None:
    table = nodes(2)
    assert fits_empty(job("a", 8, 2).claims, table) == ("", 0.0)
    assert fits_empty(job("a", 16).claims, table) == ("gpus", 8.0)
    assert fits_empty(job("a", 8, 3).claims, table) == ("gpus", 8.0)
    assert fits_empty(job("a", 1, cores=100).claims, table) == ("cpu_cores", 36.0)
    assert fits_empty(job("a", 0.5, 33).claims, table) == ("gpus", 0.5)
    wait = plan([job("a", 16), job("b", 8, submitted_s=1)], [], table, FIFO, 2.0)
    assert set(wait.starts) == {"b"}, "what never fits holds nobody up"
    assert "larger than the cluster" in wait.waits["a"].sentence


def test_a_cluster_of_which_no_node_takes_tasks_is_not_called_too_small() -> None:
    table = nodes(2)
    for node_id in table.node_ids:
        table.set_usable(node_id, usable=False, reason="drained")
    told = [explain(job("a"), [], each, FIFO, 0.0).sentence for each in (table, nodes(0))]
    assert told == [
        "no node takes tasks now: all 2 are drained or lost",
        "no node takes tasks now: none is known yet",
    ]


def test_any_wait_is_explained() -> None:
    table = nodes(1)
    held_job = job("held", 6, expected_s=300)
    held = running(table, held_job, plan([held_job], [], table, FIFO, 0.0).starts["held"].placements, 0.0)
    wait = explain(job("a", 4), [held], table, FIFO, 100.0, behind="z")
    assert (wait.reason, wait.resource, wait.missing, wait.feasible_s) == ("resources", "gpus", 4, 300)
    assert explain(job("a", 2), [held], table, FIFO, 100.0, behind="z").reason == "order"
    assert explain(job("a", 9), [held], table, FIFO, 100.0).reason == "never"
    assert table.gpu_free == [2000]


def test_memory_skips_shapes_until_something_is_freed() -> None:
    class Counting(FirstFit):
        calls = 0

        def place(self, claim, table, now_s):  # type: ignore[no-untyped-def]  # as a stranger writes a policy
            self.calls += 1
            return super().place(claim, table, now_s)

    table, policy, memory = nodes(1), Counting(), RoundMemory()
    greedy = PlanOptions(ordering=Fifo(), placement=policy, backfill="greedy")
    first = job("first", 8)
    held = running(
        table, first, plan([first], [], table, greedy, 0.0, memory).starts["first"].placements, 0.0
    )
    queue = [job(f"q{at:03d}", 1 + at % 2, submitted_s=at) for at in range(100)]
    policy.calls = 0
    plan(queue, [held], table, greedy, 1.0, memory)
    assert policy.calls <= 4, "two shapes, not a hundred jobs"
    before = policy.calls
    plan(queue, [held], table, greedy, 2.0, memory)
    assert policy.calls == before, "nothing was freed"
    table.release("first/0")
    assert len(plan(queue, [], table, greedy, 3.0, memory).starts) == 6, "1 + 2 + 1 + 2 + 1 + 1 GPUs"


def test_mistakes_in_options_are_named() -> None:
    with pytest.raises(ConfigError, match="choose one of easy"):
        PlanOptions(ordering=Fifo(), placement=FirstFit(), backfill="eazy")
    with pytest.raises(ValueError, match="no tasks"):
        replace(job("a"), claims=())
    assert job("a", 0.5, 4).demand == Resources(cpu_cores=4, gpus=2)
