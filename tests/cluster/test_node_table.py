"""The node table: exact amounts, shares of devices, lost devices, trials and copies."""

import pytest

from steelyard.cluster.node_table import NodeTable
from steelyard.model.node import Node
from steelyard.model.placement_policy import Claim, Placement
from steelyard.model.resources import Resources


def table(count: int = 3) -> NodeTable:
    capacity = Resources(cpu_cores=8, memory_bytes=64, gpus=2, gpu_memory_bytes=80)
    return NodeTable(Node(node_id=f"n{at}", capacity=capacity) for at in range(count))


def claim(task_id: str, cpu: float = 1, gpus: float = 0, **more: object) -> Claim:
    return Claim(task_id=task_id, demand=Resources(cpu_cores=cpu, gpus=gpus), **more)  # type: ignore[arg-type]  # fields by name


def on(node_id: str, *devices: int) -> Placement:
    return Placement(node_id, devices, 0.0, "test")


def test_a_release_gives_back_exactly_what_was_reserved() -> None:
    nodes = table()
    for at in range(300):
        nodes.reserve(on("n1", 0), claim(f"t{at}", cpu=0.1, gpus=0.29))
        assert nodes.devices[1] == [710, 1000]
        nodes.release(f"t{at}")
    assert nodes.cpu_free[1] == 8000
    assert nodes.devices[1] == [1000, 1000]
    assert nodes.task_counts[1] == 0
    assert not nodes.reservations


def test_two_halves_of_two_devices_are_no_whole_one() -> None:
    nodes = table()
    nodes.reserve(on("n0", 0), claim("a", gpus=0.6))
    nodes.reserve(on("n0", 1), claim("b", gpus=0.6))
    with pytest.raises(ValueError, match="too little gpus"):
        nodes.reserve(on("n0", 0), claim("c", gpus=0.8))


def test_memory_on_a_device_counts_as_a_share_of_it() -> None:
    nodes = table()
    wants = Claim(task_id="a", demand=Resources(gpus=0.1, gpu_memory_bytes=30))
    nodes.reserve(on("n0", 1), wants)
    assert nodes.devices[0] == [1000, 250]
    nodes.release("a")
    assert nodes.devices[0] == [1000, 1000]


def test_a_lost_device_is_not_free_and_comes_back_as_it_is_then() -> None:
    nodes = table()
    nodes.reserve(on("n0", 0), claim("a", gpus=0.5))
    nodes.set_device_usable("n0", 0, False)
    assert nodes.devices[0] == [0, 1000]
    nodes.release("a")
    assert nodes.devices[0] == [0, 1000]
    nodes.set_device_usable("n0", 0, True)
    assert nodes.devices[0] == [1000, 1000]
    assert nodes.gpu_free[0] == 2000


def test_a_removed_node_hands_its_claims_back_and_its_row_is_used_again() -> None:
    nodes = table()
    nodes.reserve(on("n1"), claim("a", job_id="j"))
    assert [each.task_id for each in nodes.remove("n1")] == ["a"]
    assert nodes.place_of("a") is None
    nodes.add(Node(node_id="m", capacity=Resources(cpu_cores=1)))
    assert [nodes.node_ids[row] for row in nodes.rows()] == ["m", "n0", "n2"]
    assert nodes.rank[nodes.row_of["m"]] == 0
    assert nodes.cpu_free[nodes.row_of["m"]] == 1000


def test_a_trial_rolls_back_reservations_releases_and_keys() -> None:
    nodes = table()
    nodes.reserve(on("n0", 0), claim("a", gpus=0.5, job_id="j", keys=("web",)))
    before = nodes.copy()
    outer = nodes.begin_trial()
    nodes.begin_trial()
    nodes.accept()
    nodes.release("a")
    nodes.reserve(on("n2", 1), claim("a", gpus=0.5, job_id="j"))
    nodes.begin_trial()
    nodes.accept()
    inner = nodes.begin_trial()
    nodes.reserve(on("n1", 0, 1), claim("b", gpus=2))
    nodes.roll_back(inner)
    assert nodes.place_of("b") is None
    assert nodes.place_of("a") == "n2"
    nodes.roll_back(outer)
    assert nodes.devices == before.devices
    assert nodes.key_counts == before.key_counts
    assert nodes.reservations == before.reservations


def test_a_copy_is_independent() -> None:
    nodes = table()
    twin = nodes.copy()
    twin.reserve(on("n0", 0), claim("a", gpus=1, job_id="j"))
    twin.measure("n1", {"cpu_cores": 0.9})
    assert nodes.devices[0] == [1000, 1000]
    assert not nodes.key_counts[0]
    assert not nodes.measured[1]


def test_changes_name_the_rows_or_say_that_it_is_too_long_ago() -> None:
    nodes = table()
    position = nodes.position
    nodes.reserve(on("n2"), claim("a"))
    nodes.set_usable("n0", False, "drained")
    assert nodes.changed_since(position) == [2, 0]
    for _ in range(5000):
        nodes.set_usable("n1", True)
    assert nodes.changed_since(position) is None
    assert nodes.changed_since(nodes.position) == []


def test_used_fraction_is_the_greater_of_reserved_and_measured() -> None:
    nodes = table()
    nodes.reserve(on("n0", 0), claim("a", cpu=2, gpus=1))
    nodes.measure("n0", {"cpu_cores": 0.1, "memory_bytes": 0.7})
    row = nodes.row_of["n0"]
    assert nodes.used_fraction(row, "cpu_cores") == 0.25
    assert nodes.used_fraction(row, "memory_bytes") == 0.7
    assert nodes.used_fraction(row, "gpus") == 0.5
    assert nodes.used_fraction(row, "network_bytes_per_s") == 0.0


def test_a_claim_asks_for_a_share_or_for_whole_gpus() -> None:
    with pytest.raises(ValueError, match="ask for a share"):
        claim("a", gpus=1.5)
