"""Real caches behind real balancers, at a small scale: what moves, what is lost, what is hit."""

import shutil

import pytest
from benchmarks.caches.balancers import BALANCERS
from benchmarks.caches.rounds import Plan, one_lru, run

from steelyard.demo.caches import CacheShape
from steelyard.demo.key_stream import LOST, KeyAnswer, moved, moved_needlessly, spread, zipf_keys

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="needs nginx: apt install nginx-light")
PLAN = Plan(
    caches=3, keys=400, requests=800, exponent=1.2, clients=12, shape=CacheShape(zone_kib=32, rate_per_s=400)
)
BY_NAME = {each.name: each for each in BALANCERS}


def answers(*nodes: str) -> list[KeyAnswer]:
    return [KeyAnswer(node, hit=False, status=200, took_s=0.0) for node in nodes]


@needs_nginx
@pytest.mark.parametrize("name", ["steelyard", "nginx"])
def test_a_ring_moves_only_the_keys_of_the_cache_that_changed(name: str) -> None:
    outcome = run(BY_NAME[name], PLAN, changes=True)
    assert outcome.steady.lost == 0
    assert outcome.left is not None
    assert outcome.joined is not None
    assert outcome.left.needless == outcome.joined.needless == 0
    assert outcome.left.moved == outcome.left.least
    assert 0.05 < outcome.joined.moved < 0.5  # a fourth is its due
    assert outcome.steady.hits > 0.5


@needs_nginx
def test_bounded_loads_are_more_even_than_one_home_a_key() -> None:
    # The most popular of the keys is a fifth of the requests and makes its home in a plain ring busier than
    # 1.25 of the mean; the bound is one on requests in flight, with room for chance.
    bounded = run(BY_NAME["steelyard"], PLAN, changes=False).steady
    plain = run(BY_NAME["nginx"], PLAN, changes=False).steady
    assert bounded.busiest < 1.25
    assert bounded.busiest < plain.busiest


def test_a_stream_is_the_same_for_the_same_seed_and_as_skewed_as_asked() -> None:
    stream = zipf_keys(1_000, 20_000, 1.0, seed=3)
    assert stream == zipf_keys(1_000, 20_000, 1.0, seed=3)
    counts = sorted((stream.count(key) for key in set(stream)), reverse=True)
    # 1 / H(1000) = 13.36 % of 20,000 draws is 2,672, five standard deviations are 241.
    assert abs(counts[0] - 2_672) < 241


def test_measures() -> None:
    before, after = answers("a", "a", "b", "c"), answers("a", "b", "b", "b")
    assert (moved(before, after), moved_needlessly(before, after, "c")) == (0.5, 0.25)
    assert spread([*before, LOST], nodes=3) == 1.5
    assert one_lru(Plan(keys=1, requests=10), objects=1) == 1.0
