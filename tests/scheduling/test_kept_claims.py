"""Survivors of a failed gang keep their places for a while, or free them: through controller and planner."""

import pytest
from tests.harness.planned_cluster import PlannedCluster as Cluster

from steelyard.model.controller_event import (
    AttemptEnded,
    CancelOrdered,
    Event,
    NodeCordoned,
    NodeLost,
    Preempted,
    TimePassed,
)
from steelyard.model.errors import ConfigError
from steelyard.model.job_record import TaskState
from steelyard.model.job_specification import JobSpecification
from steelyard.model.node import Node
from steelyard.model.resources import Resources
from steelyard.scheduling.controller import PLANNER_PATIENCE_S


def broken_gang(cluster: Cluster, keep_claim_s: float) -> str:
    """A gang on A, B and C of which B's member was lost with its node, and the others have left."""
    gang = cluster.submit(tasks=3, gang=True, keep_claim_s=keep_claim_s)
    cluster.round()
    assert cluster.nodes_of(gang) == ["A", "B", "C"]
    cluster.does(NodeLost(node_id="B", reason="silent"))
    cluster.leave(f"{gang}.0", f"{gang}.2")
    return gang


def test_kept_places_are_not_given_to_others_and_the_gang_comes_back_to_them() -> None:
    cluster = Cluster("ABC")
    gang = broken_gang(cluster, 60.0)
    urgent = cluster.submit(priority=9)
    cluster.round()
    assert cluster.nodes_of(urgent) == [""], "A and C are claimed"
    assert "keeps its place on A for 60 s" in cluster.task(f"{gang}.0").reason
    cluster.planning.know_nodes(
        [Node(node_id=each, capacity=Resources(cpu_cores=4, memory_bytes=1e9)) for each in "ABCD"]
    )
    cluster.round()
    assert cluster.nodes_of(gang) == ["A", "D", "C"]
    assert all(task.kept is None and not task.kept_until_s for task in cluster.state.tasks_of(gang))


def test_without_the_rule_the_places_are_free_at_once() -> None:
    cluster = Cluster("ABC")
    broken_gang(cluster, 0.0)
    urgent = cluster.submit(priority=9)
    cluster.round()
    assert cluster.nodes_of(urgent) == ["A"]


def test_places_are_given_back_when_their_time_is_over() -> None:
    cluster = Cluster("ABC")
    gang = broken_gang(cluster, 10.0)
    urgent = cluster.submit(priority=9)
    cluster.now_s = 9.0
    cluster.round()
    assert cluster.nodes_of(urgent) == [""]
    cluster.now_s = 10.0
    cluster.round()
    cluster.round()
    assert cluster.nodes_of(urgent) == ["A"]
    assert "gives its place on A back: no place for the rest" in cluster.task(f"{gang}.0").reason


def test_of_two_gangs_that_wait_for_each_others_places_one_gives_way() -> None:
    cluster = Cluster("ABCD")
    red, blue = (cluster.submit(tasks=2, gang=True, keep_claim_s=10.0) for _ in range(2))
    cluster.round()
    assert cluster.nodes_of(red) + cluster.nodes_of(blue) == ["A", "B", "C", "D"]
    for job_id, node in ((red, "B"), (blue, "D")):
        cluster.does(NodeLost(node_id=node, reason="silent"))
        cluster.leave(f"{job_id}.0")
    cluster.round()
    assert cluster.nodes_of(red) == cluster.nodes_of(blue) == ["", ""]
    cluster.now_s = 10.0
    cluster.round()
    cluster.round()
    assert cluster.nodes_of(red) == ["A", "C"]


def test_the_failed_member_itself_keeps_nothing_and_a_claim_outlives_its_back_off_not_for_ever() -> None:
    cluster = Cluster("ABC")
    gang = cluster.submit(tasks=2, gang=True, keep_claim_s=10.0)
    cluster.round()
    cluster.does(AttemptEnded(task_id=f"{gang}.0", epoch=1, exit_code=1))
    cluster.leave(f"{gang}.1")
    failed, survivor = cluster.state.tasks_of(gang)
    assert failed.state is TaskState.BACKING_OFF
    assert failed.kept is None
    assert survivor.kept is not None
    assert survivor.kept.node_id == "B"
    other = cluster.submit()
    cluster.round()
    assert cluster.nodes_of(other) == ["A"], "what the failed member left is free"
    cluster.now_s = 10.0 + PLANNER_PATIENCE_S
    cluster.does(TimePassed())
    assert cluster.task(f"{gang}.1").kept is None


@pytest.mark.parametrize(
    "event", [NodeLost(node_id="A", reason="silent"), NodeCordoned(node_id="A", reason="repair")]
)
def test_no_place_is_kept_on_a_node_that_takes_no_tasks(event: Event) -> None:
    cluster = Cluster("ABC")
    gang = broken_gang(cluster, 60.0)
    cluster.does(event)
    assert [task.kept is None for task in cluster.state.tasks_of(gang)] == [True, True, False]
    assert f"{gang}.0" not in cluster.planning.table.reservations


def test_a_cancelled_gang_keeps_nothing() -> None:
    cluster = Cluster("ABC")
    gang = broken_gang(cluster, 60.0)
    cluster.does(CancelOrdered(job_id=gang))
    assert not cluster.state.keeping
    assert not cluster.planning.table.reservations


def test_a_preempted_gang_keeps_nothing() -> None:
    cluster = Cluster("ABC")
    gang = cluster.submit(tasks=3, gang=True, keep_claim_s=60.0)
    cluster.round()
    cluster.does(Preempted(task_ids=(f"{gang}.0",), reason="for another"))
    cluster.leave(*(f"{gang}.{rank}" for rank in range(3)))
    assert not cluster.state.keeping


def test_why_it_waits_says_what_it_keeps() -> None:
    cluster = Cluster("ABCD")
    cluster.submit(nodes=("D",))
    cluster.round()
    gang = broken_gang(cluster, 60.0)
    wait = cluster.planning.wait_of(cluster.task(f"{gang}.1"), 5.0)
    assert wait is not None
    assert "1 of 3 tasks find no place" in wait.sentence
    assert "2 places are kept for it for another 55 s" in wait.sentence


def test_keeping_is_for_gangs() -> None:
    with pytest.raises(ConfigError, match="keep_claim is for gangs"):
        JobSpecification(command=("x",), tasks=2, keep_claim_s=5.0)
