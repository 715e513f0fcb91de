"""What the planner of a live controller learns from what ran, also after a restart."""

import pytest
from tests.harness.planned_cluster import PlannedCluster

from steelyard.policies.ordering.fair_share import FairShare
from steelyard.policies.ordering.learned_index import learned_index
from steelyard.scheduling.planning import Planning


def test_a_task_that_ran_long_on_a_node_prefers_another_next_time() -> None:
    """The seed, section 4.3, third point."""
    cluster = PlannedCluster("AB")
    for ran_s in (10.0, 90.0, 10.0, 90.0):
        # Both nodes are free, and first fit takes A; so A is held by another when B is to be used.
        other = cluster.submit(name="other", nodes=("A",)) if ran_s == 10.0 else ""
        cluster.round()
        wanted = cluster.submit(name="train", user="ann")
        cluster.round()
        assert cluster.finish(wanted, ran_s) == ("B" if ran_s == 10.0 else "A")
        if other:
            cluster.finish(other, 1.0)
    again = cluster.submit(name="train", user="ann")
    stranger = cluster.submit(name="another", user="ann")
    cluster.round()
    assert cluster.nodes_of(again) == ["B"], "A is slow for its like"
    assert cluster.nodes_of(stranger) == ["A"], "and for nobody else"


def test_a_slow_node_is_better_than_none() -> None:
    cluster = PlannedCluster("AB")
    cluster.planning.slowness.observe("ann", "train", "A", 90.0)
    cluster.planning.slowness.observe("ann", "train", "A", 90.0)
    cluster.planning.slowness.observe("ann", "train", "B", 10.0)
    jobs = [cluster.submit(name="train", user="ann") for _ in range(2)]
    cluster.round()
    assert [cluster.nodes_of(each) for each in jobs] == [["B"], ["A"]]


def test_durations_are_learned_and_come_back_with_the_records() -> None:
    cluster = PlannedCluster("A")
    for _ in range(4):
        wanted = cluster.submit(name="train", user="ann")
        cluster.round()
        cluster.finish(wanted, 100.0)
    for planning in (cluster.planning, Planning(cluster.state, cluster.options)):
        assert planning.durations.predict("ann", "train", 0.0).expected_s == pytest.approx(100.0, rel=0.05)


def test_an_ordering_that_learns_is_told_of_ends_live_and_at_a_restart() -> None:
    cluster = PlannedCluster("A", learned_index())
    for _ in range(4):
        for name, ran_s in (("short", 10.0), ("long", 5_000.0)):
            wanted = cluster.submit(name=name)
            cluster.round()
            cluster.finish(wanted, ran_s)
    blocker = cluster.submit(name="blocker")
    cluster.round()
    long, short = cluster.submit(name="long"), cluster.submit(name="short")
    cluster.finish(blocker, 1.0)
    cluster.planning = Planning(cluster.state, cluster.options)
    cluster.planning.know_nodes([node for node in PlannedCluster("A").planning.table.nodes if node])
    cluster.round()
    assert (cluster.nodes_of(short), cluster.nodes_of(long)) == (["A"], [""])


def test_fair_share_counts_what_a_tenant_used_live_and_at_a_restart() -> None:
    cluster = PlannedCluster("A", FairShare())
    greedy = cluster.submit(tenant="greedy")
    cluster.round()
    cluster.finish(greedy, 10_000.0)
    blocker = cluster.submit(tenant="other")
    cluster.round()
    first, second = cluster.submit(tenant="greedy"), cluster.submit(tenant="modest")
    for restarted in (False, True):
        if restarted:
            cluster.planning = Planning(cluster.state, cluster.options)
            cluster.planning.know_nodes([node for node in PlannedCluster("A").planning.table.nodes if node])
        cluster.planning.round(cluster.now_s)
        ordering = cluster.planning.options.ordering
        assert isinstance(ordering, FairShare)
        assert ordering.share("greedy") > ordering.share("modest") == 0.0
    cluster.finish(blocker, 1.0)
    cluster.round()
    assert (cluster.nodes_of(first), cluster.nodes_of(second)) == ([""], ["A"])
