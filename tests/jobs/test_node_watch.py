"""What the service knows of its nodes."""

import pytest

from steelyard.cluster.node_load import LoadRules
from steelyard.jobs.executor import NodeReport
from steelyard.jobs.node_watch import NodeWatch
from steelyard.model.resources import Resources
from steelyard.model.telemetry import NodeTelemetry

CAPACITY = Resources(cpu_cores=10, memory_bytes=1000)


def report(at_s: float, cores: float, capacity: Resources = CAPACITY) -> NodeReport:
    telemetry = NodeTelemetry(
        node_id="A", sampled_at_s=at_s, cpu_cores=10, cpu_used_cores=cores,
        memory_bytes=1000, memory_used_bytes=500,
    )  # fmt: skip
    return NodeReport(
        node_id="A", capacity=capacity, heard_at_s=at_s, telemetry=telemetry, labels={"address": "10.0.0.7"}
    )


def test_a_node_that_comes_changes_or_goes_is_news_and_a_sample_is_not() -> None:
    watch = NodeWatch()
    assert watch.observe([report(0.0, 1.0)])
    assert not watch.observe([report(1.0, 2.0)])
    assert watch.observe([report(2.0, 2.0, Resources(cpu_cores=20))])
    assert watch.observe([])
    assert watch.nodes() == []
    assert watch.loads == {}, "what it measured went with it: one that comes again begins anew"


def test_load_is_smoothed_and_given_as_shares() -> None:
    watch = NodeWatch(LoadRules(time_constant_s=1.0))
    watch.observe([report(0.0, 0.0)])
    watch.observe([report(1.0, 10.0)])
    ((node_id, used),) = watch.used_fractions()
    assert node_id == "A"
    assert used["cpu_cores"] == pytest.approx(0.632, abs=0.001)
    assert used["memory_bytes"] == 0.5
    assert watch.addresses() == {"A": "10.0.0.7"}


def test_headroom_is_kept_free_when_asked() -> None:
    plain, careful = NodeWatch(), NodeWatch(headroom=True)
    for watch in (plain, careful):
        watch.observe([report(0.0, 1.0)])
    assert plain.nodes()[0].capacity == CAPACITY
    assert careful.nodes()[0].capacity.memory_bytes == pytest.approx(900)
