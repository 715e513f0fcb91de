"""What leaves a hot node, what is emptied, and that nothing goes back and forth."""

from random import Random

import pytest
from tests.harness.clusters import GIB, FirstFit, job, nodes

from steelyard.cluster.node_table import NodeTable
from steelyard.config.job_plugins import make_rebalancing
from steelyard.model.errors import ConfigError
from steelyard.model.job import RunningJob
from steelyard.model.node import Node
from steelyard.model.placement_policy import Placement
from steelyard.model.resources import Resources
from steelyard.policies.rebalancing.budget import MoveBudget
from steelyard.policies.rebalancing.consolidation import Consolidation
from steelyard.policies.rebalancing.hot_nodes import SEED_EXAMPLE, HotNodeOptions, HotNodes
from steelyard.policies.rebalancing.registry import REBALANCING_SUMMARIES, REBALANCINGS


def put(
    table: NodeTable,
    name: str,
    node_id: str,
    *,
    gpus: float = 0,
    cores: float = 4,
    expected_s: float = 3600,
    started_s: float = 0.0,
    cost_s: float = 10.0,
) -> RunningJob:
    """A job of one task that runs on a node."""
    queued = job(name, gpus, cores=cores, expected_s=expected_s, checkpoint_cost_s=cost_s)
    place = Placement(node_id, tuple(range(int(gpus))), 0.0, "test")
    table.reserve(place, queued.claims[0])
    return RunningJob(job=queued, placements={queued.claims[0].task_id: place}, started_s=started_s)


def seed_nodes() -> NodeTable:
    """A to E with the seed's measured use."""
    capacity = Resources(cpu_cores=10, memory_bytes=64 * GIB)
    table = NodeTable(Node(node_id=name, capacity=capacity) for name in "ABCDE")
    for name, cpu in zip("ABCDE", (0.3, 0.2, 0.4, 0.1, 0.2), strict=True):
        table.measure(name, {"cpu_cores": cpu})
    return table


def test_the_seeds_example_moves_t1_off_d_when_d_reaches_half_of_its_cpu() -> None:
    table = seed_nodes()
    running = [put(table, "T1", "D", cores=1), put(table, "T7", "D", cores=1)]
    policy = HotNodes(SEED_EXAMPLE, MoveBudget(rest_s=0.0))
    assert not policy.proposals(running, table, FirstFit(), 60.0), "at 10 % nothing is hot"
    table.measure("D", {"cpu_cores": 0.5})
    (move,) = policy.proposals(running, table, FirstFit(), 120.0)
    assert (move.job_id, move.from_node_id, move.reason) == ("T1", "D", "hot-node")
    assert move.to.node_id in "ABE", "not to C, which is too warm itself"
    assert move.gain_s > move.cost_s


def test_a_move_that_does_not_pay_is_not_made() -> None:
    table = seed_nodes()
    running = [put(table, "T1", "D", cores=1, expected_s=130.0)]
    table.measure("D", {"cpu_cores": 0.6})
    policy = HotNodes(SEED_EXAMPLE, MoveBudget(rest_s=0.0))
    assert not policy.proposals(running, table, FirstFit(), 60.0), "it ends before it would have saved 10 s"


def test_a_node_must_stay_hot_for_a_while() -> None:
    table = nodes(2)
    running = [put(table, "a", "n00")]
    table.measure("n00", {"cpu_cores": 0.97})
    policy = HotNodes(HotNodeOptions(hot_for_s=30), MoveBudget(rest_s=0))
    assert not policy.proposals(running, table, FirstFit(), 100.0)
    assert not policy.proposals(running, table, FirstFit(), 120.0)
    table.measure("n00", {"cpu_cores": 0.5})
    assert not policy.proposals(running, table, FirstFit(), 125.0)
    table.measure("n00", {"cpu_cores": 0.97})
    assert not policy.proposals(running, table, FirstFit(), 131.0), "it was cool in between"
    assert policy.proposals(running, table, FirstFit(), 161.0)


def test_the_budget_bounds_moves_a_round_and_an_hour() -> None:
    table = nodes(6)
    running = [put(table, f"j{at:02d}", "n00", cores=4) for at in range(10)]
    table.measure("n00", {"cpu_cores": 1.0})
    policy = HotNodes(
        HotNodeOptions(hot={"cpu_cores": 0.4}, hot_for_s=0), MoveBudget(per_round=3, per_hour=5, rest_s=0)
    )
    counts = []
    for at in range(4):
        mark = table.begin_trial()
        counts.append(len(policy.proposals(running, table, FirstFit(), 100.0 + at)))
        table.roll_back(mark)
    assert counts == [3, 2, 0, 0]


def test_nothing_goes_back_and_forth() -> None:
    """Tasks whose true use is fixed, moved for a simulated day: the moves end, and no task returns."""
    rng = Random(5)
    for _ in range(20):
        table = nodes(4, cores=16)
        uses = {f"j{at:02d}": rng.uniform(0.5, 4) for at in range(14)}
        running = {
            name: put(table, name, f"n{rng.randrange(4):02d}", cores=1, expected_s=500_000) for name in uses
        }
        policy = HotNodes(budget=MoveBudget(per_job=100, per_hour=100))
        last_move_s = 0.0
        went: list[tuple[str, str, str]] = []
        for step in range(1, 1440):
            now_s = step * 60.0
            for row in table.rows():
                node_id = table.node_ids[row]
                used = sum(
                    uses[name]
                    for name, each in running.items()
                    if next(iter(each.placements.values())).node_id == node_id
                )
                table.measure(node_id, {"cpu_cores": min(1.0, used / 16)})
            mark = table.begin_trial()
            moves = policy.proposals(list(running.values()), table, FirstFit(), now_s)
            table.roll_back(mark)
            for move in moves:
                each = running[move.job_id]
                table.release(move.task_id)
                table.reserve(move.to, each.job.claims[0])
                running[move.job_id] = RunningJob(
                    job=each.job,
                    placements={move.task_id: move.to},
                    started_s=0,
                    moved_s=now_s,
                    moves=each.moves + 1,
                )
                went.append((move.job_id, move.from_node_id, move.to.node_id))
                last_move_s = now_s
        assert last_move_s < 6 * 3600
        assert not [1 for name, here, there in went if (name, there, here) in went]


def test_consolidation_empties_the_least_used_node_whole() -> None:
    table = nodes(3)
    running = [
        put(table, "a", "n00", gpus=4),
        put(table, "b", "n01", gpus=2),
        put(table, "c", "n01", cores=1),
    ]
    moves = Consolidation(budget=MoveBudget(per_round=8)).proposals(running, table, FirstFit(), 1000.0)
    assert [(move.job_id, move.to.node_id) for move in moves] == [("b", "n00"), ("c", "n00")]


def test_consolidation_keeps_budgets_and_never_uses_an_empty_node() -> None:
    def table_of() -> tuple[NodeTable, list[RunningJob]]:
        table = nodes(3)
        return table, [put(table, "a", "n00", gpus=4), put(table, "b", "n01", gpus=2)]

    table, running = table_of()
    (move,) = Consolidation().proposals(running, table, FirstFit(), 1000.0)
    assert (move.job_id, move.to.node_id, move.reason) == ("b", "n00", "consolidation")
    table, running = table_of()
    assert not Consolidation(budget=MoveBudget(per_round=0)).proposals(running, table, FirstFit(), 1000.0)
    table, running = table_of()
    assert not Consolidation().proposals(running, table, FirstFit(), 3500.0), "it ends soon anyway"


@pytest.mark.parametrize("name", REBALANCINGS)
def test_every_policy_is_made_by_name_and_described(name: str) -> None:
    assert (make_rebalancing(name) is None) == (name == "none")
    assert name in REBALANCING_SUMMARIES


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'hot-nodes'"):
        make_rebalancing("hot-node")
    with pytest.raises(ConfigError, match="at most 1"):
        HotNodeOptions(hot={"cpu_cores": 90})


def test_a_job_that_does_not_say_what_a_stop_takes_is_not_moved_for_nothing() -> None:
    table = nodes(2)
    table.measure("n00", {"cpu_cores": 0.95})
    running = [put(table, "a", "n00", expected_s=60, cost_s=0.0)]
    assert not HotNodes(HotNodeOptions(hot_for_s=0), MoveBudget(rest_s=0)).proposals(
        running, table, FirstFit(), 10.0
    )
