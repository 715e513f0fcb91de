"""Metrics of a gateway that served: named by the rules, bounded labels, buckets of LLMs' size."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from itertools import pairwise

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.processes import engines, gateway, wait_until

PROMTOOL = shutil.which("promtool")
# Pools, replicas and tenants are named in the configuration; the others are the gateway's own words.
LABELS = {"pool", "replica", "tenant", "status", "outcome", "state", "cause", "le", "version"}
TOKENS = 7


@pytest.fixture(scope="module")
def text() -> Iterator[str]:
    """After one whole and one streamed answer."""
    with engines(1) as fleet, gateway(fleet[0].addresses["engine"], options=("--workers", "1")) as front:
        for stream in (False, True):
            body = {"model": "emulated", "prompt": "word " * 100, "max_tokens": TOKENS, "stream": stream}
            request = urllib.request.Request(
                f"{front.addresses['gateway']}/v1/completions",
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                answer.read()

        def page() -> str:
            with urllib.request.urlopen(f"{front.addresses['admin']}/metrics", timeout=10) as answer:
                return str(answer.read().decode())

        wait_until(lambda: 'requests_total{pool="default",status="2xx"} 2' in page())
        yield page()


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
def test_promtool_has_nothing_to_say(text: str) -> None:
    assert PROMTOOL is not None
    command = [PROMTOOL, "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_names_say_what_is_counted_in_which_unit(text: str) -> None:
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("steelyard_"), family.name
        assert family.documentation.endswith((".", "estimated")), family.name
        assert {label for sample in family.samples for label in sample.labels} <= LABELS, family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_tokens")), family.name


def histogram(text: str, name: str) -> tuple[list[float], float, float]:
    """(bounds, sum, count) of a histogram."""
    family = next(each for each in text_string_to_metric_families(text) if each.name == f"steelyard_{name}")
    values = {sample.name.removeprefix(f"steelyard_{name}"): sample.value for sample in family.samples}
    bounds = [float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels]
    return bounds, values["_sum"], values["_count"]


def test_histograms_hold_what_was_served(text: str) -> None:
    assert histogram(text, "request_output_tokens")[1:] == (2 * TOKENS, 2)
    assert histogram(text, "request_prompt_tokens")[2] == 2
    assert histogram(text, "request_duration_seconds")[2] == 2
    _, tpot_s, streams = histogram(text, "time_per_output_token_seconds")
    assert streams == 1
    assert 0 < tpot_s < 1
    assert histogram(text, "time_to_first_token_seconds")[2] == 1


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("time_to_first_token_seconds", 0.01, 60),  # a warm cache to a long queue
        ("time_per_output_token_seconds", 0.005, 1),  # 200 tokens a second to one
        ("request_duration_seconds", 0.01, 300),
        ("request_prompt_tokens", 1, 500_000),
        ("request_output_tokens", 1, 100_000),
    ],
)
def test_buckets_reach_from_the_fastest_to_the_slowest(
    text: str, name: str, least: float, most: float
) -> None:
    bounds, _, _ = histogram(text, name)
    finite = bounds[:-1]
    assert finite == sorted(set(finite))
    assert (finite[0] <= least, finite[-1] >= most) == (True, True)
    inside = [bound for bound in finite if least <= bound <= most]
    steps = [after / before for before, after in pairwise(inside)]
    assert max(steps) <= 2.5, (name, inside)  # no bucket so wide that a quantile in it says nothing
