"""Routing policies on recorded traces, in the simulator: `python -m benchmarks.routing`.

Every run of a policy on a case is repeated with several seeds; the page shows medians over seeds and, for
the share in SLO, the least and the most. All requests count, refused ones as misses.
"""

import random
import statistics
import sys

import msgspec

from benchmarks.machine import describe
from steelyard.config.plugins import make_policy
from steelyard.engines.profiles import PROFILES
from steelyard.policies.routing.registry import POLICIES
from steelyard.reports.objectives import Objective
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.report import SimulationReport, summarise
from steelyard.traces.readers import AZURE_CONVERSATION, data_folder, read_trace
from steelyard.traces.request import TraceRequest

MOONCAKE_CONVERSATION = "llm/mooncake_conversation_trace.jsonl.gz"
SEEDS = range(1, 6)
OBJECTIVE = Objective(ttft_s=2.0, tpot_s=0.1)
EQUAL = ("llama2-70b-h100x8",) * 8
MIXED = ("llama2-70b-h100x8", "llama2-70b-a100x4") * 4
CASES = (
    ("Mooncake conversation at its speed, eight equal engines", MOONCAKE_CONVERSATION, 1.0, EQUAL),
    ("Mooncake conversation at twice its speed, eight equal engines", MOONCAKE_CONVERSATION, 2.0, EQUAL),
    ("Azure 2023 conversation at four times its speed, eight equal engines", AZURE_CONVERSATION, 4.0, EQUAL),
    (
        "Azure 2023 conversation at three times its speed, engines of two speeds",
        AZURE_CONVERSATION,
        3.0,
        MIXED,
    ),
)


def simulated(
    policy: str, requests: list[TraceRequest], engines: tuple[str, ...], seed: int
) -> SimulationReport:
    """One run."""
    rng = random.Random(seed)
    profiles = [PROFILES[name] for name in engines]
    fleet = SimulatedFleet(profiles, make_policy(policy, rng), rng, requests[0].block_tokens)
    return summarise(policy, fleet.run(requests), len(profiles), OBJECTIVE)


def row(reports: list[SimulationReport]) -> tuple[float, str]:
    """(share in SLO, line of the table) of one policy's runs."""

    def median(values: list[float]) -> float:
        return statistics.median(values)

    shares = [report.goodput_share for report in reports]
    share = median(shares)
    cells = (
        reports[0].policy,
        f"{share:.1%} ({min(shares):.1%}–{max(shares):.1%})",
        f"{median([report.ttft_s.p50 for report in reports]):.3f}",
        f"{median([report.ttft_s.p99 for report in reports]):.2f}",
        f"{median([report.tpot_s.p50 for report in reports]) * 1e3:.1f}",
        f"{median([report.hit_share for report in reports]):.1%}",
    )
    return share, "| " + " | ".join(cells) + " |"


def run() -> str:
    """The page. Raises SystemExit without the traces."""
    folder = data_folder()
    if folder is None:
        sys.exit("needs public traces: set STEELYARD_DATA to their folder")
    lines = [
        "# Routing policies on recorded traces, simulated",
        "",
        f"{describe()}. In SLO: first token within {OBJECTIVE.ttft_s:g} s and {OBJECTIVE.tpot_s * 1e3:g} ms "
        f"a token; medians of {len(SEEDS)} seeds, least and most in brackets; best first. Policies of other",
        "systems are re-implementations over the same estimates: see their files for what differs.",
        "Made by `python -m benchmarks.routing`.",
    ]
    for title, trace, speed, engines in CASES:
        requests = [
            msgspec.structs.replace(each, arrival_s=each.arrival_s / speed)
            for each in read_trace(folder / trace)
        ]
        rows = [row([simulated(name, requests, engines, seed) for seed in SEEDS]) for name in POLICIES]
        lines += [
            "",
            f"## {title}",
            "",
            f"{len(requests):,} requests; engines: {', '.join(dict.fromkeys(engines))}.",
            "",
            "| policy | in SLO | TTFT p50, s | p99, s | TPOT p50, ms | prompt tokens cached |",
            "|---|---:|---:|---:|---:|---:|",
            *(line for _, line in sorted(rows, key=lambda each: -each[0])),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(run(), end="")
