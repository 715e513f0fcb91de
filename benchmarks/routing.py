"""Routing policies in the simulator: `python -m benchmarks.routing`.

Every policy is run on every case, the closest ones with five seeds, then the others with one, then the
others with the rest; the page is written after each of these. All requests count, refused ones as misses.
Finished runs are kept under out/, so that a run that was cut short goes on where it was. `--closest` leaves
the others out; `--page` makes the page of the runs that are kept, and runs nothing.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import commit, describe
from benchmarks.routing_cases import (
    CLOSEST,
    MOONCAKE_CONVERSATION,
    OBJECTIVE,
    OTHERS,
    SEEDS,
    Case,
    cases,
    is_kept,
    kept_or_simulated,
)
from steelyard.policies.routing.registry import DEFAULT_POLICY
from steelyard.simulation.ideal import ideal_hit_share
from steelyard.simulation.oracle import ORACLE
from steelyard.simulation.report import SimulationReport
from steelyard.traces.readers import data_folder, read_trace

RESULTS = Path(__file__).parent / "results" / "routing.md"
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # two-sided 95 %, by the number of pairs
Figure = Callable[[SimulationReport], float]
Runs = dict[str, list[SimulationReport]]
"""By policy, in the order of seeds."""


def share_in_slo(report: SimulationReport) -> float:
    """Of all requests."""
    return report.goodput_share


def ttft_p99_s(report: SimulationReport) -> float:
    """Of the answered ones."""
    return report.ttft_s.p99


def _mean(figure: Figure, reports: Sequence[SimulationReport]) -> float:
    return statistics.fmean(map(figure, reports))


def _spread(figure: Figure, reports: Sequence[SimulationReport], form: str) -> str:
    """Mean ± standard deviation over seeds."""
    text = format(_mean(figure, reports), form)
    if len(reports) == 1:
        return text
    return f"{text} ± {format(statistics.stdev(map(figure, reports)), form)}"


def row(reports: list[SimulationReport]) -> str:
    """One policy's line: means over its seeds."""
    name = reports[0].policy
    cells = (
        f"**{name}**" if name == DEFAULT_POLICY else f"*{name}*" if name == ORACLE else name,
        str(len(reports)),
        _spread(share_in_slo, reports, ".2%"),
        f"{_mean(lambda report: report.ttft_s.p50, reports):.3f}",
        _spread(lambda report: report.ttft_s.p90, reports, ".3f"),
        _spread(ttft_p99_s, reports, ".3f"),
        f"{_mean(lambda report: report.tpot_s.p50, reports) * 1e3:.1f}",
        f"{_mean(lambda report: report.tpot_s.p90, reports) * 1e3:.1f}",
        f"{_mean(lambda report: report.hit_share, reports):.1%}",
        f"{_mean(lambda report: report.output_tokens_per_s, reports):,.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def beside(runs: Runs, figure: Figure, title: str, form: str, *, more_is_better: bool) -> str:
    """The default beside the best of the others by a figure, pair by pair of equal seeds."""
    sign = 1 if more_is_better else -1
    pairs = len(runs[DEFAULT_POLICY])
    rivals = {name: reports for name, reports in runs.items() if name not in (DEFAULT_POLICY, ORACLE)}
    # With fewer seeds than the default nothing can be paired.
    rivals = {name: reports for name, reports in rivals.items() if len(reports) == pairs}
    best = max(rivals, key=lambda name: sign * _mean(figure, rivals[name]))
    gaps = [
        figure(ours) - figure(theirs) for ours, theirs in zip(runs[DEFAULT_POLICY], rivals[best], strict=True)
    ]
    mean, half = statistics.fmean(gaps), STUDENT[pairs] * statistics.stdev(gaps) / pairs**0.5
    verdict = "tie" if abs(mean) <= half else "better" if sign * mean > 0 else "worse"
    gap = f"{format(mean, '+' + form)} ± {format(half, form)}"
    return f"| {title} | {best} | {_spread(figure, rivals[best], form)} | {gap} | {verdict} |"


def section(case: Case, runs: Runs) -> str:
    """One case's tables."""
    engines = ", ".join(dict.fromkeys(engine.name for engine in case.engines))
    order = sorted(runs, key=lambda name: -_mean(share_in_slo, runs[name]))
    titles = (
        "policy",
        "seeds",
        "in SLO",
        "TTFT p50, s",
        "p90, s",
        "p99, s",
        "TPOT p50, ms",
        "p90, ms",
        "cached",
    )
    lines = [
        "",
        f"## {case.title}",
        "",
        f"{runs[DEFAULT_POLICY][0].requests:,} requests; engines: {engines}.",
        "",
        f"| {' | '.join(titles)} | output tokens/s |",
        "|---|" + "---:|" * len(titles),
        *(row(runs[name]) for name in order),
        "",
        "| the default beside the best other | that is | with | difference, 95 % | |",
        "|---|---|---:|---:|---|",
        beside(runs, share_in_slo, "in SLO", ".2%", more_is_better=True),
        beside(runs, ttft_p99_s, "TTFT p99, s", ".3f", more_is_better=False),
    ]
    if case.key == "groups":
        ours, seen = runs[DEFAULT_POLICY], runs[ORACLE]
        output = _mean(lambda report: report.output_tokens_per_s, ours)
        output /= _mean(lambda report: report.output_tokens_per_s, seen)
        p90 = _mean(lambda report: report.ttft_s.p90, ours) / _mean(lambda report: report.ttft_s.p90, seen)
        lines += ["", f"Of the oracle's: {output:.1%} of its output, {p90:.2f} times its p90 TTFT."]
    return "\n".join(lines) + "\n"


def page(folder: Path) -> str:
    """What is known by now."""
    ideal = ideal_hit_share(read_trace(folder / MOONCAKE_CONVERSATION))
    text = f"""# Routing policies, simulated

{describe()}; commit {commit()}.
In SLO: first token within {OBJECTIVE.ttft_s:g} s and {OBJECTIVE.tpot_s * 1e3:g} ms a token; requests that
were refused or lost are misses. Means over seeds, ± their standard deviation. A recorded trace is the same
for all seeds, which then differ in the policies' chance alone. Below each table: the default less the best
other policy by that figure (the oracle aside), seed by seed, with the half-width of its 95 % interval
(Student's t); a *tie* is an interval that holds zero. Policies of other systems are re-implementations over
the same estimates, and what they believe to be cached is not counted as queued for them either: see their
files for what differs. *oracle* sees the replicas' true caches, queues and speeds. The Mooncake trace's ideal
hit share, with one cache without end, is {ideal:.4f}. Made by `python -m benchmarks.routing`.
"""
    for case in cases(folder):
        runs = {
            name: [kept_or_simulated(name, case, seed) for seed in SEEDS if is_kept(name, case, seed)]
            for name in (*CLOSEST, *OTHERS)
        }
        known = {name: reports for name, reports in runs.items() if reports}
        if len(known.get(DEFAULT_POLICY, ())) > 1 and len(known.get(ORACLE, ())) > 1 and len(known) > 2:
            text += section(case, known)
    RESULTS.write_text(text, encoding="utf-8")
    return text


def run(folder: Path, names: Sequence[str], seeds: Sequence[int]) -> None:
    """Make sure that these runs are kept. Seed by seed, so that what is cut short is still balanced."""
    for seed in seeds:
        for case in cases(folder):
            for name in names:
                kept_or_simulated(name, case, seed)


def main() -> None:
    """The command line. Raises SystemExit without the traces."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("--closest", action="store_true", help="only the policies that come close")
    parser.add_argument("--page", action="store_true", help="only make the page of the runs that are kept")
    chosen = parser.parse_args()
    folder = data_folder()
    if folder is None:
        sys.exit("needs public traces: set STEELYARD_DATA to their folder")
    rounds = [(CLOSEST, SEEDS), (OTHERS, SEEDS[:1]), (OTHERS, SEEDS[1:])]
    for names, seeds in [] if chosen.page else rounds[: 1 if chosen.closest else None]:
        run(folder, names, seeds)
        page(folder)
    print(page(folder), end="")


if __name__ == "__main__":
    main()
