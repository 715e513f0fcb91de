"""What every placement policy must hold to, whatever it prefers."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.cluster.node_table import NodeTable
from steelyard.config.job_plugins import make_placement
from steelyard.model.errors import ConfigError
from steelyard.model.node import GPU_MODEL, RACK, ZONE, Node
from steelyard.model.placement_policy import Claim, Placement, PlacementPolicy, Refusal
from steelyard.model.resources import Resources
from steelyard.policies.placement.registry import PLACEMENT_SUMMARIES, PLACEMENTS
from steelyard.policies.request_mix import RequestMix
from steelyard.policies.settings import PlacementSettings

NAMES = sorted(PLACEMENTS)


def policy(name: str, seed: int = 7, random_ties: bool = False) -> PlacementPolicy:
    return make_placement(name, PlacementSettings(rng=random.Random(seed), random_ties=random_ties))


def nodes(count: int = 12) -> list[Node]:
    kinds = [(8, 96.0, "big"), (2, 104.0, "small"), (0, 64.0, ""), (4, 32.0, "old")]
    made = []
    for at in range(count):
        gpus, cores, model = kinds[at % len(kinds)]
        labels = {RACK: f"r{at // 4}", ZONE: f"z{at // 8}"} | ({GPU_MODEL: model} if model else {})
        capacity = Resources(cpu_cores=cores, memory_bytes=cores * 4, gpus=gpus, gpu_memory_bytes=gpus * 40)
        made.append(Node(node_id=f"n{at:02d}", capacity=capacity, labels=labels))
    return made


def claims(count: int, seed: int) -> Iterator[Claim]:
    rng = random.Random(seed)
    for at in range(count):
        gpus = rng.choice((0, 0.2, 0.47, 0.81, 1, 1, 2, 4, 8))
        yield Claim(
            task_id=f"t{at}",
            demand=Resources(
                cpu_cores=rng.choice((1, 4, 11.4, 24)), memory_bytes=rng.choice((0, 8, 60)), gpus=gpus
            ),
            job_id=f"j{at % 5}",
            gpu_models=rng.choice(((), (), (), ("big",), ("old", "small"))) if gpus else (),
            affinity_keys=("job=j1",) if at % 7 == 0 else (),
            anti_affinity_keys=("job=j2",) if at % 11 == 0 else (),
            data_bytes={"n03": 5.0, "r1": 9.0},
        )


def history(name: str, seed: int, random_ties: bool = False) -> list[tuple[str, str, tuple[int, ...]]]:
    """Place and release until the end; `reserve` refuses what does not fit."""
    table, placing, rng = NodeTable(nodes()), policy(name, seed, random_ties), random.Random(seed)
    log: list[tuple[str, str, tuple[int, ...]]] = []
    for claim in claims(250, seed):
        if table.reservations and rng.random() < 0.4:
            table.release(rng.choice(sorted(table.reservations)))
        placed = placing.place(claim, table, 0.0)
        if isinstance(placed, Placement):
            table.reserve(placed, claim)
            log.append((claim.task_id, placed.node_id, placed.devices))
        else:
            assert sum(placed.counts.values()) == len(table.rows())
            log.append((claim.task_id, "", ()))
    return log


@pytest.mark.parametrize("random_ties", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_places_only_where_it_fits_and_the_same_seed_places_the_same(name: str, random_ties: bool) -> None:
    first = history(name, 3, random_ties)
    assert first == history(name, 3, random_ties)
    assert sum(node_id != "" for _, node_id, _ in first) > 100


@pytest.mark.parametrize("name", NAMES)
def test_refuses_only_what_fits_nowhere(name: str) -> None:
    table, placing = NodeTable(nodes()), policy(name)
    for claim in claims(200, 5):
        placed = placing.place(claim, table, 0.0)
        if isinstance(placed, Placement):
            table.reserve(placed, claim)
        else:
            other = policy("first-fit").place(claim, table, 0.0)
            assert isinstance(other, Refusal)
            assert other.counts == placed.counts


@pytest.mark.parametrize("name", NAMES)
def test_kept_scores_never_differ_from_fresh_ones(name: str) -> None:
    if name in ("random", "round-robin"):
        pytest.skip("has a memory of its own beside scores")
    table = NodeTable(nodes())
    mix = RequestMix.of(claims(100, 9))
    placing = make_placement(name, PlacementSettings(rng=random.Random(1), mix=mix))
    rng = random.Random(2)
    for at, claim in enumerate(claims(150, 9)):
        if table.reservations and rng.random() < 0.3:
            table.release(rng.choice(sorted(table.reservations)))
        if at % 10 == 0:
            table.set_usable(f"n{rng.randrange(12):02d}", rng.random() < 0.7, "drained")
        if at % 13 == 0:
            table.measure(f"n{rng.randrange(12):02d}", {"cpu_cores": rng.random()})
        fresh = make_placement(
            name, PlacementSettings(rng=random.Random(1), mix=RequestMix.of(claims(100, 9)))
        )
        placed = placing.place(claim, table, 0.0)
        again = fresh.place(claim, table, 0.0)
        assert type(placed) is type(again)
        if isinstance(placed, Placement) and isinstance(again, Placement):
            assert (placed.node_id, placed.devices, placed.score) == (
                again.node_id,
                again.devices,
                again.score,
            )
            table.reserve(placed, claim)


@pytest.mark.parametrize("name", NAMES)
def test_obeys_labels_forbidden_nodes_preference_and_spares(name: str) -> None:
    spare = Node(node_id="a-spare", capacity=Resources(cpu_cores=8, memory_bytes=8), spare=True)
    table, placing = NodeTable([*nodes(4), spare]), policy(name)
    demand = Resources(cpu_cores=2)
    in_rack = placing.place(Claim(task_id="a", demand=demand, node_labels={RACK: "r9"}), table, 0.0)
    assert isinstance(in_rack, Refusal)
    assert in_rack.counts == {"labels": 5}
    three = ("n00", "n01", "n03")
    only = placing.place(Claim(task_id="b", demand=demand, forbidden_nodes=three), table, 0.0)
    assert isinstance(only, Placement)
    assert only.node_id == "n02"
    backup = placing.place(Claim(task_id="c", demand=demand, preferred_nodes=("gone", "n03")), table, 0.0)
    assert isinstance(backup, Placement)
    assert (backup.node_id, backup.reason) == ("n03", "preferred")
    last = placing.place(Claim(task_id="d", demand=demand, forbidden_nodes=(*three, "n02")), table, 0.0)
    assert isinstance(last, Placement)
    assert last.node_id == "a-spare"


@pytest.mark.parametrize("name", NAMES)
def test_sees_nodes_come_and_go(name: str) -> None:
    table, placing = NodeTable(nodes(1)), policy(name)
    wide = Claim(task_id="a", demand=Resources(cpu_cores=1, gpus=16))
    assert isinstance(placing.place(wide, table, 0.0), Refusal)
    table.add(Node(node_id="wide", capacity=Resources(cpu_cores=64, gpus=16)))
    placed = placing.place(wide, table, 0.0)
    assert isinstance(placed, Placement)
    assert placed.devices == tuple(range(16))
    table.remove("wide")
    assert isinstance(placing.place(wide, table, 0.0), Refusal)


@pytest.mark.parametrize("name", NAMES)
def test_a_share_needs_its_memory_on_one_device(name: str) -> None:
    table, placing = NodeTable(nodes(1)), policy(name)  # 8 GPUs of 40 bytes
    for at in range(8):
        claim = Claim(task_id=f"t{at}", demand=Resources(gpus=0.1, gpu_memory_bytes=24))
        placed = placing.place(claim, table, 0.0)
        assert isinstance(placed, Placement)
        table.reserve(placed, claim)
    assert table.devices[0] == [400] * 8
    more = Claim(task_id="more", demand=Resources(gpus=0.1, gpu_memory_bytes=24))
    refused = placing.place(more, table, 0.0)
    assert isinstance(refused, Refusal)
    assert refused.counts == {"gpu memory": 1}


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("name", ["best-fit", "fgd", "least-stranding"])
def test_nothing_is_lost_or_taken_twice(name: str, seed: int) -> None:
    table, placing = NodeTable(nodes()), policy(name, seed)
    for claim in claims(80, seed):
        placed = placing.place(claim, table, 0.0)
        if isinstance(placed, Placement):
            table.reserve(placed, claim)
    for task_id in list(table.reservations):
        table.release(task_id)
    empty = NodeTable(nodes())
    assert table.devices == empty.devices
    assert (table.cpu_free, table.memory_free, table.gpu_free) == (
        empty.cpu_free,
        empty.memory_free,
        empty.gpu_free,
    )
    assert not any(table.gpu_classes)


def test_a_refusal_says_what_blocks_and_where() -> None:
    table, placing = NodeTable(nodes(4)), policy("best-fit")
    table.set_usable("n01", False, "drained")
    refused = placing.place(Claim(task_id="x", demand=Resources(cpu_cores=40, gpus=8)), table, 0.0)
    assert isinstance(refused, Placement)
    table.reserve(refused, Claim(task_id="x", demand=Resources(cpu_cores=40, gpus=8)))
    refused = placing.place(Claim(task_id="y", demand=Resources(cpu_cores=40, gpus=0.5)), table, 0.0)
    assert isinstance(refused, Refusal)
    assert refused.counts == {"gpus": 2, "cpu": 1, "not usable": 1}
    assert refused.sentence == (
        "task 'y' (0.5 GPU, 40 cores) fits on none of 4 nodes: 2 with too little GPU free, "
        "1 with too little CPU free, 1 not usable now"
    )


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'best-fit'"):
        policy("bestfit")
    assert PLACEMENT_SUMMARIES.keys() == PLACEMENTS.keys()
