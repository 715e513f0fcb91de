"""Routers over real sockets, beside the simulator: `python -m benchmarks.routing_live --help`.

Method. Emulated engines, each a process of its own that does nothing but wait and stream, are started
anew for every run, so that all caches are cold. Before them one router; the same requests with the same
seed go through each router in turn, open loop: each is sent when it is due, and its time counts from
then. Prompts belong to groups that share most of their text, more groups than one engine's cache
holds and fewer than all caches together do, which is where routing decides. Refusals and errors are
misses of the SLO.

What steelyard does live is also simulated, with the same policy and the same requests. A policy that draws
among equals makes another run of every draw: least requests' p90 of one set of 245 requests lies between
0.84 and 1.22 s, and no single run foretells another. So the simulator makes many runs that differ in chance
alone, and a live run is one more of them: its figure belongs beside their median, and within their range.

Routers stand on one core as in `benchmarks.overhead`; peers are found as there.
"""

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from benchmarks.machine import commit, describe
from benchmarks.overhead.processes import ended, free_port, wait_for
from benchmarks.overhead.proxies import PROXIES
from benchmarks.overhead.rounds import answer_once
from steelyard.config.plugins import make_policy
from steelyard.demo.processes import Children
from steelyard.engines.profiles import PROFILES
from steelyard.replay.report import ReplayReport, summarise
from steelyard.replay.run import replay
from steelyard.reports.objectives import Objective
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.report import summarise as summarise_simulation
from steelyard.traces.request import TraceRequest

ROUTERS = {
    "steelyard": "prefix-ttft",
    "steelyard-least-requests": "least-requests",
    "sglang-router": "",
    "nginx": "",
    "haproxy": "",
    "litellm": "",
}
PROFILE, ENGINES = "bloom-176b-h100x8", 4
GROUPS, SHARED_TOKENS, OWN_TOKENS, OUTPUT_TOKENS = 40, 3_072, 192, 48
BLOCK_TOKENS, RATE_PER_S = 256, 6.0
OBJECTIVE = Objective(ttft_s=2.0, tpot_s=0.15)
MODEL = "m"
WARM_PROMPT_TOKENS = 8
CHANCES = 41  # simulated runs of one set of requests
Expected = list[tuple[float, float]]


def requests_of(seed: int, seconds: float) -> list[TraceRequest]:
    """Poisson arrivals; every group is as likely as any other."""
    rng = random.Random(seed)
    requests: list[TraceRequest] = []
    now_s = rng.expovariate(RATE_PER_S)
    shared = SHARED_TOKENS // BLOCK_TOKENS
    while now_s < seconds:
        first = rng.randrange(GROUPS) * shared + 1
        requests.append(
            TraceRequest(
                arrival_s=now_s,
                prompt_tokens=SHARED_TOKENS + OWN_TOKENS,
                output_tokens=OUTPUT_TOKENS,
                prefix_blocks=tuple(range(first, first + shared)),
                block_tokens=BLOCK_TOKENS,
            )
        )
        now_s += rng.expovariate(RATE_PER_S)
    return requests


async def live(router: str, requests: list[TraceRequest], folder: Path) -> ReplayReport:
    """One run through one router, on a fresh fleet."""
    started: list[subprocess.Popen[bytes]] = []
    async with Children() as children:
        options = ("--profile", PROFILE, "--model", MODEL, "--port", "0")
        engines = await asyncio.gather(
            *(children.start("engine", *options, listens=("engine",)) for _ in range(ENGINES))
        )
        ports = [urlsplit(engine.addresses["engine"]).port or 0 for engine in engines]
        with ended(started):
            proxy, port = PROXIES[router], free_port()
            started.append(proxy.starter(proxy.found() or [], folder, port, ports))
            await asyncio.to_thread(wait_for, router, started[0], port)
            await asyncio.to_thread(answer_once, router, port)
            await asyncio.sleep(2)  # probes and lists of models
            outcomes, took_s = await replay(requests, f"http://127.0.0.1:{port}", model=MODEL)
    return summarise(outcomes, took_s, OBJECTIVE)


def simulated(policy: str, requests: list[TraceRequest]) -> Expected:
    """(p50, p90) of the time to first token in virtual time, one for each of many seeds of chance."""
    pairs: Expected = []
    for seed in range(CHANCES):
        rng = random.Random(seed)
        fleet = SimulatedFleet([PROFILES[PROFILE]] * ENGINES, make_policy(policy, rng), rng, BLOCK_TOKENS)
        report = summarise_simulation(policy, fleet.run(requests), ENGINES, OBJECTIVE)
        pairs.append((report.ttft_s.p50, report.ttft_s.p90))
    return pairs


def _spread(values: list[float], form: str) -> str:
    """Median, and in brackets the least and the most."""
    text = format(statistics.median(values), form)
    if len(values) == 1:
        return text
    return f"{text} ({format(min(values), form)}–{format(max(values), form)})"


def router_row(name: str, reports: list[ReplayReport]) -> str:
    """One router's line: medians over seeds, the least and the most."""
    ttft = [
        _spread([getattr(report.ttft_s, quantile) for report in reports], ".3f")
        for quantile in ("p50", "p90", "p99")
    ]
    share = _spread([report.goodput_share for report in reports], ".1%")
    goodput = _spread([report.goodput_per_s for report in reports], ".2f")
    lost = sum(report.requests - report.kinds.get("ok", 0) for report in reports)
    return f"| {name} | {' | '.join(ttft)} | {share} | {goodput} | {lost} |"


def agreement_row(name: str, reports: list[ReplayReport], expected: list[Expected]) -> str:
    """Live beside simulated: means over seeds, and in how many of them chance explains the difference."""
    cells = []
    for quantile, at in (("p50", 0), ("p90", 1)):
        seen = [getattr(report.ttft_s, quantile) for report in reports]
        runs = [sorted(pair[at] for pair in pairs) for pairs in expected]
        middles = [statistics.median(each) for each in runs]
        lows, highs = ([each[CHANCES * part // 20] for each in runs] for part in (1, 19))
        mean, meant = statistics.fmean(seen), statistics.fmean(middles)
        within = sum(low <= one <= high for one, low, high in zip(seen, lows, highs, strict=True))
        cells += [
            f"{mean:.3f}",
            f"{meant:.3f} ({statistics.fmean(lows):.3f}–{statistics.fmean(highs):.3f})",
            f"{mean / meant - 1:+.1%}",
            f"{within} of {len(seen)}",
        ]
    return f"| {name} | {' | '.join(cells)} |"


@dataclass
class Measured:
    """What came of all runs, by router. left_out: why a peer was not in all of them."""

    runs: dict[str, list[ReplayReport]]
    expected: dict[str, list[Expected]]
    left_out: dict[str, str]


def measure(names: list[str], seeds: range, seconds: float) -> Measured:
    """Run everything, one after the other."""
    runs: dict[str, list[ReplayReport]] = {name: [] for name in names}
    expected: dict[str, list[Expected]] = {name: [] for name in names if ROUTERS[name]}
    left_out: dict[str, str] = {}
    for seed in seeds:
        requests = requests_of(seed, seconds)
        # Each seed begins with another router, so that a machine that grows busy favours none.
        turn = seed % len(names)
        for name in names[turn:] + names[:turn]:
            if name in left_out:
                continue
            print(f"seed {seed}: {name}", file=sys.stderr, flush=True)
            try:
                with tempfile.TemporaryDirectory() as folder:
                    runs[name].append(uvloop.run(live(name, requests, Path(folder))))
            except SystemExit as problem:
                # A peer that does not start on a busy machine spoils no other's run.
                left_out[name] = str(problem)
                continue
            if ROUTERS[name]:
                expected[name].append(simulated(ROUTERS[name], requests))
    return Measured(runs, expected, left_out)


def page(names: list[str], seeds: range, seconds: float) -> str:
    """Run everything, and tell it."""
    before = describe()
    measured = measure(names, seeds, seconds)
    runs, expected = measured.runs, measured.expected
    names = [name for name in names if runs[name]]
    versions = ", ".join(f"{name} {PROXIES[name].described()}" for name in names)
    lines = [
        "# Routers over real sockets\n",
        f"{before}; commit {commit()}. "
        f"{ENGINES} emulated engines ({PROFILE}), {GROUPS} groups of prompts, {SHARED_TOKENS:,} shared and"
        f" {OWN_TOKENS} own tokens, {OUTPUT_TOKENS} tokens of answer, "
        f"{RATE_PER_S:g} requests/s for {seconds:g} s, {len(seeds)} seeds. "
        f"SLO: first token in {OBJECTIVE.ttft_s:g} s, then {OBJECTIVE.tpot_s:g} s a token. "
        "Medians, in brackets the least and the most. "
        f"{versions}.\n",
        "| router | TTFT p50, s | p90, s | p99, s | in SLO | goodput, 1/s | not answered |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(router_row(name, runs[name]) for name in names),
        *(f"\nNot in all seeds: {problem}." for problem in measured.left_out.values()),
        "\n## Live and simulated\n",
        f"Simulated: {CHANCES} runs of the same requests that differ in the policy's chance alone; their "
        "median, and in brackets the range of nine tenths of them. All are means over seeds. Within a tenth "
        "is the goal; *in range*: seeds whose live figure lies within that range.\n",
        "| router | p50 live, s | simulated | | in range | p90 live, s | simulated | | in range |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(agreement_row(name, runs[name], expected[name]) for name in expected if runs[name]),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing_live", description=__doc__)
    parser.add_argument("--only", default=",".join(ROUTERS), help="routers, separated by commas")
    parser.add_argument(
        "--agreement", action="store_true", help="only steelyard's two: how well the simulator foretells them"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of arrivals a run")
    parser.add_argument("--out", type=Path, help="write the page there, too")
    chosen = parser.parse_args()
    if chosen.agreement:
        chosen.only = ",".join(name for name, policy in ROUTERS.items() if policy)
    unknown = [name for name in chosen.only.split(",") if name not in ROUTERS]
    if unknown:
        parser.error(f"--only: {unknown[0]!r} is none of {', '.join(ROUTERS)}")
    names = [name for name in chosen.only.split(",") if PROXIES[name].found()]
    text = page(names, range(1, chosen.seeds + 1), chosen.seconds)
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
