"""Figures that README and the comparison quote are those of the benchmarks' pages, made anew more often.

Routing's are in test_routing_figures.py. A figure that fails here is to be copied from the page, never the
other way round.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMPARISON = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
Rows = dict[str, list[str]]


def rows_of(text: str) -> Rows:
    """The first table of a text, by the first cell, marks of emphasis taken away."""
    lines = re.search(r"^\|.*\n\|[-:| ]+\|\n((?:\|.*\n?)+)", text, re.MULTILINE)
    assert lines, text[:200]
    found = [
        [cell.strip(" *") for cell in line.strip().strip("|").split("|")] for line in lines[1].splitlines()
    ]
    return {row[0]: row[1:] for row in found}


def results(name: str, heading: str = "") -> Rows:
    """A table of a benchmark's page: the first below a heading."""
    text = (ROOT / "benchmarks" / "results" / f"{name}.md").read_text(encoding="utf-8")
    return rows_of(text.partition(f"## {heading}\n")[2] if heading else text)


def below(text: str, heading: str) -> Rows:
    return rows_of(text.partition(f"## {heading}\n")[2])


def figure(text: str) -> float:
    """The first number of a cell."""
    found = re.search(r"\d[\d,]*(?:\.\d+)?", text)
    assert found, text
    return float(found[0].replace(",", ""))


def quoted(begins: str) -> tuple[str, str]:
    """The row of the README's table that begins so: ours, and what stands beside."""
    ours, beside = next(cells for name, cells in below(README, "Measured").items() if name.startswith(begins))
    return ours, beside


NAMES = {
    "nginx": "nginx",
    "HAProxy": "haproxy",
    "HAProxy, `option http-no-delay`": "haproxy-no-delay",
    "steelyard, least requests": "steelyard-least-requests",
    "steelyard, default policy": "steelyard",
    "steelyard, with keys, limits and fair queue": "steelyard-tenants",
    "Envoy": "envoy",
    "sglang-router": "sglang-router",
}


@pytest.mark.parametrize(("column", "scenario"), [(0, "request"), (1, "stream")])
def test_what_a_request_costs(column: int, scenario: str) -> None:
    measured = results("overhead", scenario)
    for name, cells in below(COMPARISON, "What it costs").items():
        if cells[column]:
            assert cells[column] == measured[NAMES[name]][1], name


def test_what_the_table_of_peers_says_of_costs() -> None:
    measured = {name: figure(cells[0]) for name, cells in results("overhead", "request").items()}
    peers = below(COMPARISON, "In one table")
    for shown, name in (("Envoy", "envoy"), ("sglang-router", "sglang-router")):
        said = re.search(r"less CPU a request \(([\d.]+) of it\)", peers[shown][2])
        assert said
        assert float(said[1]) == round(measured["steelyard"] / measured[name], 2), shown
    killed = results("overhead", "replace")
    said = re.search(r"again (\d+) ms after a worker was killed, steelyard after (\d+)", peers["nginx"][1])
    assert said
    assert [said[1], said[2]] == [killed["nginx"][0], killed["steelyard"][0]]


def test_what_the_readme_says_of_costs() -> None:
    request, stream = results("overhead", "request"), results("overhead", "stream")
    for begins, measured, ours in (
        ("CPU a short request, all on", request, "steelyard"),
        ("the same with keys", request, "steelyard-tenants"),
        ("CPU a stream of 202 events", stream, "steelyard"),
    ):
        cells = quoted(begins)
        assert figure(cells[0]) == round(float(measured[ours][1]), 1), begins
        for shown, ratio in re.findall(r"(Envoy|sglang-router) ([\d.]+) ×", cells[1]):
            assert abs(float(ratio) - float(measured[NAMES[shown]][1])) <= 0.051, (begins, shown)


def test_times_over_real_sockets() -> None:
    measured = results("routing-live")
    for name, (p50, p99) in below(COMPARISON, "Over real sockets").items():
        cells = measured[name.lower()]
        assert (figure(p50), figure(p99)) == (figure(cells[0]), figure(cells[2])), name
    ours, others = quoted("TTFT p99")
    assert figure(ours) == round(figure(measured["steelyard"][2]), 2)
    for name, value in re.findall(r"([A-Za-z-]+) (\d\.\d+)", others):
        assert float(value) == round(figure(measured[name.lower()][2]), 2), name


def test_how_near_the_simulator_is() -> None:
    assert "within a tenth of real sockets" in (ROOT / "docs/concepts/loop.md").read_text(encoding="utf-8")
    for name, cells in results("routing-live", "Live and simulated").items():
        assert abs(figure(cells[0]) / figure(cells[1]) - 1) <= 0.1, name


CACHES = {
    "steelyard, ring with bounded loads": "steelyard",
    "HAProxy, consistent, the same bound": "haproxy-bounded",
    "HAProxy, consistent": "haproxy",
    "nginx, `hash $uri consistent`": "nginx",
}


def test_what_caches_hit() -> None:
    measured = results("caches")
    for name, (hits, busiest, rate) in below(COMPARISON, "Before caches").items():
        cells = measured[CACHES[name]]
        assert (figure(hits), busiest, rate) == (figure(cells[1]), cells[2], cells[4]), name
    said = re.search(
        r"costs hits: (\d+) % against (\d+) % .*? has ([\d.]+) of the mean load, not ([\d.]+)",
        " ".join((ROOT / "docs" / "how-to" / "caches.md").read_text(encoding="utf-8").split()),
    )
    assert said
    ours, theirs = measured["steelyard"], measured["nginx"]
    assert [float(each) for each in said.groups()] == [
        round(figure(ours[1])), round(figure(theirs[1])), figure(theirs[2]), figure(ours[2]),
    ]  # fmt: skip


def test_what_placement_reaches() -> None:
    placed = results("placement", "openb, default workload")
    ours, others = quoted("GPUs filled")
    cells = placed["least-stranding"][0], placed["fgd"][2], placed["fgd"][0], placed["best-fit"][0]
    said = [figure(ours), *map(float, re.findall(r"\d\d\.\d", others))]
    assert said == [round(figure(cell), 1) for cell in cells]


def test_what_queues_reach() -> None:
    page = (ROOT / "benchmarks" / "results" / "ordering.md").read_text(encoding="utf-8")
    lines = page.split("## Philly")[1].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    ratios = {(row[0], row[1], row[2]): row[7] for row in rows}
    ours, others = quoted("mean completion")
    assert figure(ours) == round(float(ratios["learned-index", "none", "easy"]), 2)
    assert figure(others) == round(float(ratios["fifo", "none", "none"]), 1)
