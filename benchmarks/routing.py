"""Routing policies in the simulator: `python -m benchmarks.routing`.

Every policy is run on every case with several seeds; the page shows medians over seeds and, for the share in
SLO, the least and the most. All requests count, refused ones as misses. `--quick` runs the closest policies
only, with two seeds.
"""

import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.machine import describe
from steelyard.config.plugins import make_policy
from steelyard.engines.profiles import PROFILES, EngineProfile
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.routing.registry import DEFAULT_POLICY, POLICIES
from steelyard.reports.objectives import Objective
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.oracle import ORACLE, Oracle
from steelyard.simulation.report import SimulationReport, summarise
from steelyard.traces.generators import poisson_times, sessions, shared_prefix_groups
from steelyard.traces.readers import AZURE_CONVERSATION, data_folder, read_trace
from steelyard.traces.request import TraceRequest

RESULTS = Path(__file__).parent / "results" / "routing.md"
MOONCAKE_CONVERSATION = "llm/mooncake_conversation_trace.jsonl.gz"
SEEDS = range(1, 6)
OBJECTIVE = Objective(ttft_s=2.0, tpot_s=0.1)
# Chosen so that random saturates at half of what a policy that sees the caches reaches, as published.
GROUPS_ENGINE = EngineProfile(
    name="32B on two H100, supposed",
    summary="",
    step_s=0.015,
    sequence_s=0.00015,
    prefill_token_s=48e-6,
    kv_tokens=307_328,
)
EQUAL = (PROFILES["llama2-70b-h100x8"],) * 8
MIXED = (PROFILES["llama2-70b-h100x8"], PROFILES["llama2-70b-a100x4"]) * 4
# Without weights and keys these are least requests, round robin or random again.
SAME = {"weighted-least-requests", "weighted-round-robin", "hash-ring", "sticky-session"}
NAMES = tuple(name for name in (*POLICIES, ORACLE) if name not in SAME)
# The closest are run with all seeds; the others are further off than seeds are apart.
ALL_SEEDS = {DEFAULT_POLICY, "dynamo-cost", "lmetric", "inference-extension"}
ONE_SEED = {"random", "round-robin", "least-requests", "two-choices", "least-tokens", "peak-ewma",
            "production-stack-prefix", "prefix-hash"}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A load on a fleet. requests: from a seed, which recorded traces do not use."""

    title: str
    engines: tuple[EngineProfile, ...]
    requests: Callable[[int], list[TraceRequest]]


def cases(folder: Path) -> list[Case]:
    """All of them."""

    def recorded(name: str, speed: float) -> Callable[[int], list[TraceRequest]]:
        requests = [
            msgspec.structs.replace(each, arrival_s=each.arrival_s / speed)
            for each in read_trace(folder / name)
        ]
        return lambda _: requests

    mooncake = "Mooncake conversation at {} its speed, eight equal engines"
    return [
        Case(
            "Shared prefixes: 150 groups of 5 users, 6,000 shared and 1,200 own tokens, 250 of output, "
            "Poisson 3 to 60 requests/s rising over 480 s, eight engines of 307,328 KV tokens",
            (GROUPS_ENGINE,) * 8,
            lambda seed: shared_prefix_groups(random.Random(seed)),
        ),
        Case(mooncake.format("once"), EQUAL, recorded(MOONCAKE_CONVERSATION, 1.0)),
        Case(mooncake.format("twice"), EQUAL, recorded(MOONCAKE_CONVERSATION, 2.0)),
        Case(
            "Azure 2023 conversation at four times its speed, eight equal engines",
            EQUAL,
            recorded(AZURE_CONVERSATION, 4.0),
        ),
        Case(
            "Azure 2023 conversation at three times its speed, engines of two speeds",
            MIXED,
            recorded(AZURE_CONVERSATION, 3.0),
        ),
        Case(
            "Conversations, closed loop: 8 begun a second, four turns on average, eight equal engines",
            EQUAL,
            lambda seed: sessions(random.Random(seed), poisson_times(random.Random(seed + 99), 8.0), 8000),
        ),
    ]


def policy_named(name: str, rng: random.Random) -> RoutingPolicy:
    """A registered policy, or the oracle."""
    return Oracle(rng) if name == ORACLE else make_policy(name, rng)


def simulated(policy: str, case: Case, seed: int) -> SimulationReport:
    """One run."""
    rng, requests = random.Random(seed), case.requests(seed)
    fleet = SimulatedFleet(list(case.engines), policy_named(policy, rng), rng, requests[0].block_tokens)
    return summarise(policy, fleet.run(requests), len(case.engines), OBJECTIVE)


def row(reports: list[SimulationReport]) -> tuple[float, str]:
    """(share in SLO, line of the table) of one policy's runs."""

    def median(figure: Callable[[SimulationReport], float]) -> float:
        return statistics.median(map(figure, reports))

    shares = [report.goodput_share for report in reports]
    name = reports[0].policy
    cells = (
        f"**{name}**" if name == DEFAULT_POLICY else f"*{name}*" if name == ORACLE else name,
        f"{statistics.median(shares):.1%} ({min(shares):.1%}–{max(shares):.1%})",
        f"{median(lambda report: report.ttft_s.p50):.3f}",
        f"{median(lambda report: report.ttft_s.p90):.3f}",
        f"{median(lambda report: report.ttft_s.p99):.2f}",
        f"{median(lambda report: report.tpot_s.p50) * 1e3:.1f}",
        f"{median(lambda report: report.tpot_s.p90) * 1e3:.1f}",
        f"{median(lambda report: report.hit_share):.1%}",
        f"{median(lambda report: report.output_tokens_per_s):,.0f}",
    )
    return statistics.median(shares), "| " + " | ".join(cells) + " |"


def seeds_of(name: str, *, quick: bool) -> range:
    """The seeds a policy is run with."""
    if quick:
        return SEEDS[:2] if name in ALL_SEEDS | {ORACLE} else SEEDS[:0]
    return SEEDS if name in ALL_SEEDS else SEEDS[: 1 if name in ONE_SEED else 2]


def section(case: Case, *, quick: bool) -> str:
    """One case's table."""
    seeds = {name: seeds_of(name, quick=quick) for name in NAMES}
    rows = [row([simulated(name, case, seed) for seed in seeds[name]]) for name in NAMES if seeds[name]]
    count = len(case.requests(SEEDS[0]))
    engines = ", ".join(dict.fromkeys(engine.name for engine in case.engines))
    titles = ("policy", "in SLO", "TTFT p50, s", "p90, s", "p99, s", "TPOT p50, ms", "p90, ms", "cached")
    lines = [
        "",
        f"## {case.title}",
        "",
        f"{count:,} requests; engines: {engines}.",
        "",
        f"| {' | '.join(titles)} | output tokens/s |",
        "|---|" + "---:|" * len(titles),
        *(line for _, line in sorted(rows, key=lambda each: -each[0])),
    ]
    return "\n".join(lines) + "\n"


def run(*, quick: bool = False) -> str:
    """The page, written to its file as it grows. Raises SystemExit without the traces."""
    folder = data_folder()
    if folder is None:
        sys.exit("needs public traces: set STEELYARD_DATA to their folder")
    others = ", ".join(sorted(ONE_SEED))
    seeds = (
        f"medians of {len(SEEDS)} seeds for {', '.join(sorted(ALL_SEEDS))}, one seed for {others}, else two"
    )
    if quick:
        seeds = "medians of two seeds, only the closest policies (`--quick`)"
    page = f"""# Routing policies, simulated

{describe()}. In SLO: first token within {OBJECTIVE.ttft_s:g} s and {OBJECTIVE.tpot_s * 1e3:g} ms a token;
{seeds};
least and most in brackets; best first. Policies of other systems are re-implementations over the same
estimates, and what they believe to be cached is not counted as queued for them either: see their files for
what differs. *oracle* sees the replicas' true caches, queues and speeds. Made by
`python -m benchmarks.routing`.
"""
    for case in cases(folder):
        page += section(case, quick=quick)
        RESULTS.write_text(page, encoding="utf-8")
    return page


if __name__ == "__main__":
    print(run(quick="--quick" in sys.argv), end="")
