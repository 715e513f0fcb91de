"""The routing figures that pages quote are those of the benchmark's page, which is made anew more often."""

import re
from pathlib import Path

import pytest

from steelyard.policies.routing.registry import POLICIES

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "shared prefixes, rising to 60 requests/s": "Shared prefixes: ",
    "Mooncake conversation": "Mooncake conversation, eight equal engines, at 1 times",
    "Mooncake conversation, twice its speed": "Mooncake conversation, eight equal engines, at 2 times",
    "Mooncake conversation at twice its speed": "Mooncake conversation, eight equal engines, at 2 times",
    "Azure, four times its speed": "Azure 2023 conversation, eight equal engines, at 4 times",
    "Azure, three times its speed, mixed engines": "Azure 2023 conversation, engines of two speeds, at 3",
    "Azure at three times its speed, mixed engines": "Azure 2023 conversation, engines of two speeds, at 3",
}
NAMES = {
    "steelyard": "**prefix-ttft**",
    "oracle": "*oracle*",
    "vLLM router's": "vllm-smetric",
    "Dynamo's cost": "dynamo-cost",
    "LMetric": "lmetric",
    "inference extension": "inference-extension",
}
Quoted = tuple[str, str, float]  # load, policy, percent in SLO


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def percent(text: str) -> float:
    return float(text.split("%")[0])


def readme() -> list[Quoted]:
    """Rows `in SLO, LOAD ([simulated](...)) | ours | NAME percent, NAME percent`."""
    quoted: list[Quoted] = []
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| in SLO, "):
            load, ours, beside = cells(line)
            load = load.removeprefix("in SLO, ").split(" ([")[0]
            quoted.append((load, "steelyard", percent(ours)))
            others = [each.rsplit(" ", 2) for each in beside.split(", ")]
            quoted += [(load, name, float(figure)) for name, figure, _ in others]
    return quoted


def comparison() -> list[Quoted]:
    """The table below the heading `Policies`."""
    text = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    lines = text.split("## Policies\n")[1].split("\n## ")[0].splitlines()
    names, _, *rows = [cells(line) for line in lines if line.startswith("|")]
    return [
        (row[0], name, percent(cell)) for row in rows for name, cell in zip(names[1:], row[1:], strict=True)
    ]


def measured(load: str, name: str) -> float:
    page = (ROOT / "benchmarks" / "results" / "routing.md").read_text(encoding="utf-8")
    (section,) = [each for each in page.split("\n## ") if each.startswith(SECTIONS[load])]
    (row,) = [cells(line) for line in section.splitlines() if line.startswith(f"| {NAMES[name]} |")]
    return percent(row[2])


@pytest.mark.parametrize(("load", "name", "figure"), [*readme(), *comparison()])
def test_a_quoted_figure_is_the_page_s(load: str, name: str, figure: float) -> None:
    assert abs(figure - measured(load, name)) < 0.0501  # one digit of two, rounded either way


def test_the_figures_are_found() -> None:
    assert len(readme()) >= 7
    assert len(comparison()) >= 25


def test_the_policies_are_counted() -> None:
    (count,) = re.findall(r"(\d+) other policies", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert int(count) == len(POLICIES) - 1
