"""The planner's rounds, by example."""

from tests.harness.clusters import FirstFit, job, nodes, running

from steelyard.model.job import RunningJob
from steelyard.policies.ordering.fifo import Fifo
from steelyard.policies.ordering.priority import Priority
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.planner import plan

FIFO = PlanOptions(ordering=Fifo(), placement=FirstFit())


def test_starts_what_fits_and_leaves_the_table_as_it_was() -> None:
    table = nodes(2)
    decided = plan([job("a", 8), job("b", 4), job("c", 4)], [], table, FIFO, 0.0)
    assert list(decided.starts) == ["a", "b", "c"]
    assert [start.placements[f"{name}/0"].node_id for name, start in decided.starts.items()] == [
        "n00",
        "n01",
        "n01",
    ]
    assert table.gpu_free == [8000, 8000]
    assert not table.reservations


def test_a_gang_starts_whole_or_not_at_all() -> None:
    table = nodes(2)
    decided = plan([job("a", 8, tasks=3)], [], table, FIFO, 0.0)
    assert not decided.starts
    assert decided.waits["a"].reason == "never"
    held = running(table, job("h", 1), plan([job("h", 1)], [], table, FIFO, 0.0).starts["h"].placements, 0.0)
    decided = plan([job("b", 8, tasks=2)], [held], table, FIFO, 0.0)
    assert not decided.starts
    assert decided.waits["b"].resource == "gpus"
    assert decided.waits["b"].missing == 8


def test_a_job_behind_the_head_starts_only_if_the_head_is_not_delayed() -> None:
    table = nodes(1)
    first = job("first", 6, expected_s=100)
    held = running(table, first, plan([first], [], table, FIFO, 0.0).starts["first"].placements, 0.0)
    queue = [
        job("head", 8, submitted_s=1),
        job("long", 1, submitted_s=2, expected_s=200),
        job("short", 1, submitted_s=3, expected_s=90),
    ]
    decided = plan(queue, [held], table, FIFO, 5.0)
    assert list(decided.starts) == ["short"]
    assert decided.starts["short"].backfilled
    assert decided.waits["head"].feasible_s == 100
    assert decided.waits["long"].behind == "head"


def test_a_long_job_may_start_beside_the_place_of_the_head() -> None:
    table = nodes(2)
    first = job("first", 6, expected_s=100)
    held = running(table, first, plan([first], [], table, FIFO, 0.0).starts["first"].placements, 0.0)
    other = job("other", 6, expected_s=1000)
    held_too = running(table, other, plan([other], [held], table, FIFO, 0.0).starts["other"].placements, 0.0)
    queue = [job("head", 8, submitted_s=1), job("long", 2, submitted_s=2, expected_s=5000)]
    decided = plan(queue, [held, held_too], table, FIFO, 5.0)
    assert decided.starts["long"].placements["long/0"].node_id == "n01"


def test_strict_order_holds_everybody_behind_the_head() -> None:
    table = nodes(1)
    strict = PlanOptions(ordering=Fifo(), placement=FirstFit(), backfill="none")
    held = running(
        table, job("h", 2), plan([job("h", 2)], [], table, strict, 0.0).starts["h"].placements, 0.0
    )
    decided = plan([job("a", 8, submitted_s=1), job("b", 1, submitted_s=2)], [held], table, strict, 3.0)
    assert not decided.starts
    wait = decided.wait_of("b")
    assert wait is not None
    assert wait.behind == "a"


def test_a_priority_takes_the_fewest_places_that_make_a_node_fit() -> None:
    table = nodes(2)
    options = PlanOptions(ordering=Priority(), placement=FirstFit(), min_run_s=0)
    held: list[RunningJob] = []
    for at in range(8):  # four quarters on each node
        each = job(f"r{at}", 2, priority=0)
        places = plan([each], held, table, options, 0.0).starts[each.job_id].placements
        held.append(running(table, each, places, float(at)))
    decided = plan([job("urgent", 8, priority=5)], held, table, options, 100.0)
    stopped = {each.job_id for each in decided.preemptions}
    assert stopped == {"r4", "r5", "r6", "r7"}, "one whole node, and the jobs that started last"
    assert set(decided.starts["urgent"].after) == stopped
    assert not plan([job("equal", 8, priority=0)], held, table, options, 100.0).preemptions
