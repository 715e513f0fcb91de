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
It is run more than once a seed, too. What other work takes from the processors shows as late timers; with
68 ms of that at p99, least requests' p90 was three times what it is on a machine that is free.

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
from time import monotonic
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
TIMER_S, BUSY_MS = 0.01, 5.0
AGREEMENT = "## Live and simulated"
Expected = list[tuple[float, float]]


@dataclass
class Ran:
    """What came of one router's runs of one seed. late_ms: of timers meanwhile, the least late first."""

    reports: list[ReplayReport]
    late_ms: list[float]


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


async def live(router: str, requests: list[TraceRequest], folder: Path, times: int) -> Ran:
    """The requests through one router, so many times at once, each time on a fresh fleet."""
    started: list[subprocess.Popen[bytes]] = []
    async with Children() as children:
        with ended(started):
            ports = [await _fleet_behind(router, children, folder / str(n), started) for n in range(times)]
            await asyncio.sleep(2)  # probes and lists of models
            late_ms: list[float] = []
            watch = asyncio.create_task(_watch_timers(late_ms))
            runs = await asyncio.gather(
                *(replay(requests, f"http://127.0.0.1:{port}", model=MODEL) for port in ports)
            )
            watch.cancel()
    return Ran([summarise(outcomes, took_s, OBJECTIVE) for outcomes, took_s in runs], sorted(late_ms))


async def _fleet_behind(
    router: str, children: Children, folder: Path, started: list[subprocess.Popen[bytes]]
) -> int:
    """Start engines and a router before them; its port, once it answers."""
    options = ("--profile", PROFILE, "--model", MODEL, "--port", "0")
    engines = await asyncio.gather(
        *(children.start("engine", *options, listens=("engine",)) for _ in range(ENGINES))
    )
    ports = [urlsplit(engine.addresses["engine"]).port or 0 for engine in engines]
    folder.mkdir()
    proxy, port = PROXIES[router], free_port()
    started.append(proxy.starter(proxy.found() or [], folder, port, ports))
    await asyncio.to_thread(wait_for, router, started[-1], port)
    await asyncio.to_thread(answer_once, router, port)
    return port


async def _watch_timers(late_ms: list[float]) -> None:
    """How late timers are: on a machine without a free core, engines miss their steps, and queues grow."""
    while True:
        due_s = monotonic() + TIMER_S
        await asyncio.sleep(TIMER_S)
        late_ms.append((monotonic() - due_s) * 1e3)


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
    """Live beside simulated: means over runs, and in how many of them chance explains the difference."""
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
    """What came of all runs, by router. expected: one a run. left_out: why a peer was not in all of them."""

    runs: dict[str, list[ReplayReport]]
    expected: dict[str, list[Expected]]
    left_out: dict[str, str]
    late_ms: list[float]


def measure(names: list[str], seeds: range, seconds: float, times: int) -> Measured:
    """Run everything, one after the other."""
    runs: dict[str, list[ReplayReport]] = {name: [] for name in names}
    expected: dict[str, list[Expected]] = {name: [] for name in names if ROUTERS[name]}
    left_out: dict[str, str] = {}
    late_ms: list[float] = []
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
                    ran = uvloop.run(live(name, requests, Path(folder), times))
            except SystemExit as problem:
                # A peer that does not start on a busy machine spoils no other's run.
                left_out[name] = str(problem)
                continue
            runs[name] += ran.reports
            late_ms += ran.late_ms
            if ROUTERS[name]:
                expected[name] += [simulated(ROUTERS[name], requests)] * times
    return Measured(runs, expected, left_out, sorted(late_ms))


def _timers(late_ms: list[float]) -> str:
    """What the machine had left for the engines."""
    p99_ms = late_ms[len(late_ms) * 99 // 100]
    busy = "" if p99_ms <= BUSY_MS else " It was busy with other work: engines were late, and queues longer."
    return f"Timers were late by {p99_ms:.1f} ms at p99, {late_ms[-1]:.0f} ms at most.{busy}"


def _load(seeds: range, seconds: float) -> str:
    return (
        f"{describe()}; commit {commit()}. "
        f"{ENGINES} emulated engines ({PROFILE}), {GROUPS} groups of prompts, {SHARED_TOKENS:,} shared and"
        f" {OWN_TOKENS} own tokens, {OUTPUT_TOKENS} tokens of answer, "
        f"{RATE_PER_S:g} requests/s for {seconds:g} s, {len(seeds)} seeds."
    )


def routers_page(names: list[str], seeds: range, seconds: float) -> str:
    """Run every router once a seed, and tell it."""
    load = _load(seeds, seconds)
    measured = measure(names, seeds, seconds, 1)
    names = [name for name in names if measured.runs[name]]
    versions = ", ".join(f"{name} {PROXIES[name].described()}" for name in names)
    lines = [
        "# Routers over real sockets\n",
        f"{load} SLO: first token in {OBJECTIVE.ttft_s:g} s, then {OBJECTIVE.tpot_s:g} s a token. "
        f"Medians, in brackets the least and the most. {_timers(measured.late_ms)} {versions}.\n",
        "| router | TTFT p50, s | p90, s | p99, s | in SLO | goodput, 1/s | not answered |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(router_row(name, measured.runs[name]) for name in names),
        *(f"\nNot in all seeds: {problem}." for problem in measured.left_out.values()),
    ]
    return "\n".join(lines) + "\n\n"


def agreement_page(seeds: range, seconds: float, times: int) -> str:
    """Run what is simulated so many times a seed, and tell how well that was foretold."""
    load = _load(seeds, seconds)
    measured = measure([name for name, policy in ROUTERS.items() if policy], seeds, seconds, times)
    runs, expected = measured.runs, measured.expected
    lines = [
        f"{AGREEMENT}\n",
        f"{load} Each {times} times at once, on as many fleets. {_timers(measured.late_ms)}\n",
        f"Simulated: {CHANCES} runs of the same requests that differ in the policy's chance alone; their "
        "median, and in brackets the range of nine tenths of them. All are means over runs. Within a tenth "
        "is the goal; *in range*: live runs whose figure lies within that range.\n",
        "| router | p50 live, s | simulated | | in range | p90 live, s | simulated | | in range |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(agreement_row(name, runs[name], expected[name]) for name in expected if runs[name]),
        *(f"\nNot in all seeds: {problem}." for problem in measured.left_out.values()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing_live", description=__doc__)
    parser.add_argument("--only", default=",".join(ROUTERS), help="routers, separated by commas")
    parser.add_argument(
        "--agreement", action="store_true", help="only how well the simulator foretells steelyard"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of arrivals a run")
    parser.add_argument("--times", type=int, default=3, help="for the agreement, runs of a seed at once")
    parser.add_argument("--out", type=Path, help="write the page there, too; of --agreement, only its part")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.only.split(",") if name not in ROUTERS]
    if unknown:
        parser.error(f"--only: {unknown[0]!r} is none of {', '.join(ROUTERS)}")
    seeds = range(1, chosen.seeds + 1)
    if chosen.agreement:
        written = chosen.out is not None and chosen.out.exists()
        text = chosen.out.read_text(encoding="utf-8").partition(AGREEMENT)[0] if written else ""
    else:
        names = [name for name in chosen.only.split(",") if PROXIES[name].found()]
        text = routers_page(names, seeds, chosen.seconds)
    text += agreement_page(seeds, chosen.seconds, chosen.times)
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
