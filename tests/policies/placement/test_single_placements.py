"""What each placement policy prefers, by example."""

import random
from collections import Counter

import pytest

from steelyard.cluster.node_table import NodeTable
from steelyard.config.job_plugins import make_placement
from steelyard.model.node import Node
from steelyard.model.placement_policy import Claim, Placement
from steelyard.model.resources import Resources
from steelyard.policies.placement.min_load import by_expected_time
from steelyard.policies.request_mix import RequestMix
from steelyard.policies.settings import PlacementSettings


def node(node_id: str, cores: float = 32, gpus: float = 0, **labels: str) -> Node:
    capacity = Resources(cpu_cores=cores, memory_bytes=100, gpus=gpus, gpu_memory_bytes=gpus * 10)
    return Node(node_id=node_id, capacity=capacity, labels=labels)


def claim(task_id: str = "new", cores: float = 1, gpus: float = 0, **more: object) -> Claim:
    return Claim(task_id=task_id, demand=Resources(cpu_cores=cores, gpus=gpus), **more)  # type: ignore[arg-type]  # fields by name


def fill(table: NodeTable, node_id: str, task_id: str, *devices: int, **more: object) -> None:
    gpus = more.pop("gpus", len(devices))
    table.reserve(Placement(node_id, devices, 0.0, ""), claim(task_id, gpus=gpus, **more))  # type: ignore[arg-type]  # fields by name


def choose(
    name: str,
    table: NodeTable,
    wanted: Claim,
    mix: RequestMix | None = None,
    random_ties: bool = False,
    seed: int = 1,
) -> Placement:
    settings = PlacementSettings(rng=random.Random(seed), random_ties=random_ties, mix=mix or RequestMix())
    placed = make_placement(name, settings).place(wanted, table, 0.0)
    assert isinstance(placed, Placement)
    return placed


@pytest.mark.parametrize(
    ("name", "expected"),
    [("best-fit", "b"), ("worst-fit", "c"), ("first-fit", "a"), ("least-tasks", "c"), ("dot-product", "b")],
)
def test_classic_fits(name: str, expected: str) -> None:
    table = NodeTable([node("a"), node("b"), node("c")])
    fill(table, "a", "t1", cores=4)
    fill(table, "b", "t2", cores=20)
    assert choose(name, table, claim(cores=2)).node_id == expected


def test_ties_go_to_the_first_by_name_or_evenly_at_random() -> None:
    table = NodeTable([node(name) for name in ("c", "a", "b")])
    assert choose("best-fit", table, claim()).node_id == "a"
    settings = PlacementSettings(rng=random.Random(5), random_ties=True)
    policy = make_placement("best-fit", settings)
    counts: Counter[str] = Counter()
    for at in range(3_000):
        placed = policy.place(claim(f"t{at}"), table, 0.0)
        assert isinstance(placed, Placement)
        counts[placed.node_id] += 1
    # 1,000 each are expected; six standard deviations are 155.
    assert all(845 < count < 1_155 for count in counts.values())


def test_the_alternatives_are_the_next_best() -> None:
    table = NodeTable([node("a"), node("b"), node("c"), node("d")])
    for name, cores in (("a", 4), ("b", 20), ("c", 12)):
        fill(table, name, f"on-{name}", cores=cores)
    placed = choose("best-fit", table, claim(cores=2))
    assert [placed.node_id, *(name for name, _ in placed.alternatives)] == ["b", "c", "a"]


def test_round_robin_takes_turns_and_steps_over_full_nodes() -> None:
    table = NodeTable([node("a"), node("b", cores=1), node("c")])
    policy = make_placement("round-robin", PlacementSettings(rng=random.Random(1)))
    taken = []
    for at in range(5):
        placed = policy.place(claim(f"t{at}", cores=2), table, 0.0)
        assert isinstance(placed, Placement)
        taken.append(placed.node_id)
    assert taken == ["a", "c", "a", "c", "a"]


def test_random_reaches_every_node_and_device() -> None:
    table = NodeTable([node("a", gpus=2), node("b", gpus=2)])
    policy = make_placement("random", PlacementSettings(rng=random.Random(1)))
    seen = set()
    for at in range(200):
        placed = policy.place(claim(f"t{at}", gpus=0.5), table, 0.0)
        assert isinstance(placed, Placement)
        seen.add((placed.node_id, placed.devices))
    assert seen == {(name, (device,)) for name in "ab" for device in (0, 1)}


def test_min_load_follows_measured_load_and_places_the_shortest_first() -> None:
    table = NodeTable([node("a"), node("b"), node("c")])
    fill(table, "a", "t1", cores=16)
    table.measure("b", {"cpu_cores": 0.9, "memory_bytes": 0.5})
    assert choose("min-load", table, claim()).node_id == "c"
    long, short = claim("long", expected_time_s=30.0), claim("short", expected_time_s=10.0)
    assert by_expected_time([long, short]) == [short, long]


def test_gpu_packing_fills_shared_gpus_before_it_breaks_whole_ones() -> None:
    table = NodeTable([node("a", gpus=4), node("b", gpus=4), node("c", gpus=4)])
    fill(table, "b", "t1", 0)
    fill(table, "c", "t2", 2, gpus=0.6)
    placed = choose("gpu-packing", table, claim(gpus=0.3))
    assert (placed.node_id, placed.devices) == ("c", (2,))
    assert choose("gpu-packing", table, claim(gpus=1)).node_id == "b"
    assert choose("gpu-packing", table, claim(gpus=4)).node_id == "a"


def test_gpu_clustering_keeps_like_with_like() -> None:
    table = NodeTable([node("a", gpus=4), node("b", gpus=4), node("c", gpus=4)])
    fill(table, "a", "t1", 0, gpus=0.5)
    fill(table, "b", "t2", 0, 1)
    assert choose("gpu-clustering", table, claim(gpus=0.2)).node_id == "a"
    assert choose("gpu-clustering", table, claim(gpus=2)).node_id == "b"
    assert choose("gpu-clustering", table, claim(gpus=1)).node_id == "c"


def mix_of(*shapes: tuple[float, float, int]) -> RequestMix:
    wanted = [(cores, gpus) for cores, gpus, count in shapes for _ in range(count)]
    return RequestMix.of(claim(f"m{at}", cores, gpus) for at, (cores, gpus) in enumerate(wanted))


@pytest.mark.parametrize("name", ["fgd", "least-stranding"])
def test_shares_go_where_they_fill_up(name: str) -> None:
    table = NodeTable([node("a", gpus=2), node("b", gpus=2)])
    fill(table, "b", "t1", 1, gpus=0.5)
    placed = choose(name, table, claim(gpus=0.5), mix_of((1, 0.5, 5), (1, 1, 5)))
    assert (placed.node_id, placed.devices) == ("b", (1,))


def test_least_stranding_leaves_the_cpu_that_gpus_need() -> None:
    table = NodeTable([node("a", cores=16, gpus=4), node("b", cores=64, gpus=1)])
    assert choose("least-stranding", table, claim(cores=8), mix_of((4, 1, 10), (8, 0, 2))).node_id == "b"


def test_least_stranding_sends_little_cpu_where_cpu_is_scarce() -> None:
    table = NodeTable([node("a", cores=96, gpus=8), node("b", cores=8, gpus=2)])
    mix = mix_of((2, 1, 10), (12, 1, 10))
    assert choose("least-stranding", table, claim(cores=2, gpus=1), mix).node_id == "b"
    assert choose("least-stranding", table, claim(cores=8, gpus=1), mix).node_id == "a"


def test_least_stranding_keeps_whole_nodes_and_rare_models() -> None:
    table = NodeTable([node("a", gpus=8), node("b", gpus=8)])
    fill(table, "b", "t1", 0)
    assert choose("least-stranding", table, claim(gpus=1), mix_of((1, 1, 10), (1, 8, 2))).node_id == "b"
    table = NodeTable([node("a", gpus=4, gpu_model="rare"), node("b", gpus=4, gpu_model="usual")])
    only = [claim(f"r{at}", gpus=1, gpu_models=("rare",)) for at in range(5)]
    mix = RequestMix.of([*only, *(claim(f"u{at}", gpus=1) for at in range(5))])
    assert choose("least-stranding", table, claim(gpus=1), mix).node_id == "b"


def test_affinity_and_anti_affinity() -> None:
    table = NodeTable([node("a", rack="r1"), node("b", rack="r2"), node("c", rack="r2")])
    fill(table, "c", "t1", keys=("cache",))
    assert choose("affinity", table, claim(affinity_keys=("cache",))).node_id == "c"
    apart = claim(affinity_keys=("cache",), anti_affinity_keys=("cache",))
    assert choose("affinity", table, apart).node_id == "b"


def test_topology_packs_a_job_into_a_rack_or_spreads_it() -> None:
    places = [("a", "r1", "z1"), ("b", "r1", "z1"), ("c", "r2", "z1"), ("d", "r3", "z2")]
    table = NodeTable([node(name, gpus=2, rack=rack, zone=zone) for name, rack, zone in places])
    first = choose("topology-pack", table, claim("j0", gpus=2, job_id="j"))
    assert first.node_id == "a"  # its rack has the most room
    fill(table, "a", "j0", 0, 1, job_id="j")
    assert choose("topology-pack", table, claim("j1", gpus=2, job_id="j")).node_id == "b"
    fill(table, "b", "j1", 0, 1, job_id="j")
    assert choose("topology-pack", table, claim("j2", gpus=2, job_id="j")).node_id == "c"
    assert choose("topology-spread", table, claim("j2", gpus=2, job_id="j")).node_id == "d"


def test_data_locality_counts_bytes_by_nearness() -> None:
    table = NodeTable([node("a", rack="r1", zone="z1"), node("b", rack="r2", zone="z1")])
    assert choose("data-locality", table, claim(data_bytes={"b": 1.0})).node_id == "b"
    assert choose("data-locality", table, claim(data_bytes={"b": 1.0, "r1": 4.0})).node_id == "a"


def test_device_type_takes_the_first_wanted_or_the_most_modest() -> None:
    table = NodeTable([node("plain"), node("x", gpus=2, gpu_model="X"), node("y", gpus=1, gpu_model="Y")])
    assert choose("device-type", table, claim()).node_id == "plain"
    assert choose("device-type", table, claim(gpus=1, gpu_models=("Y", "X"))).node_id == "y"
    assert choose("device-type", table, claim(gpus=1, gpu_models=("X", "Y"))).node_id == "x"


def test_a_hot_node_takes_no_more() -> None:
    table = NodeTable([node("a"), node("b")], hot_fractions={"cpu_cores": 0.8})
    table.measure("a", {"cpu_cores": 0.85})
    assert choose("first-fit", table, claim()).node_id == "b"
    table.measure("a", {"cpu_cores": 0.5})
    assert choose("first-fit", table, claim()).node_id == "a"
