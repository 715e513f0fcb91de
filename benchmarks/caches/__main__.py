"""The command line, and the page that it writes."""

import argparse
import json
import os
import re
import subprocess
from pathlib import Path

from benchmarks.caches import __doc__ as method
from benchmarks.caches.balancers import BALANCERS, Balancer
from benchmarks.caches.rounds import Change, Outcome, Plan, one_lru, run
from benchmarks.machine import describe
from steelyard.demo.caches import CacheShape, nginx_command
from steelyard.version import __version__

SKEWED = 1.2
_STEADY_HEAD = (
    "| balancer | scheme | hit share | requests, busiest | keys, busiest | requests/s | p50, ms | p99, ms "
    "| lost |",
    "|---|---|---:|---:|---:|---:|---:|---:|---:|",
)


def page(balancers: list[Balancer], plan: Plan, skewed: Plan) -> tuple[str, dict[str, object]]:
    """Run everything, and tell it; the page and its figures."""
    machine = describe()
    usual = {each: run(each, plan, changes=True) for each in balancers}
    crowded = {each: run(each, skewed, changes=False) for each in balancers}
    room = max(outcome.steady.kept_objects for outcome in usual.values())
    lines = [
        "# Balancers before real caches\n",
        f"{machine}, {os.getloadavg()[0]:.1f} at the end. {versions()}.\n",
        f"{plan.caches} nginx caches that hold about {room // plan.caches} objects and answer at most "
        f"{plan.shape.rate_per_s} requests/s each; {plan.keys:,} keys; {plan.requests:,} requests by "
        f"{plan.clients} clients, seed {plan.seed}. Popularity: Zipf, exponent {plan.exponent:g}.\n",
        *_STEADY_HEAD,
        *(_steady_row(each, outcome) for each, outcome in usual.items()),
        f"| one LRU cache of {room:,} objects | | {one_lru(plan, room):.1%} | | | | | | |\n",
        "## A cache leaves, a cache joins\n",
        "| balancer | scheme | leaves: had | moved | of it needlessly | hits after | joins: should get "
        "| moved | of it needlessly | hits after |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_change_row(each, outcome) for each, outcome in usual.items()),
        f"\n## A skewed key set\n\nZipf, exponent {skewed.exponent:g}: the most popular key alone is "
        f"{_first_share(skewed):.0%} of the requests. The least that a scheme with one home a key can do is "
        "the share of that key, times the number of caches.\n",
        *_STEADY_HEAD,
        *(_steady_row(each, outcome) for each, outcome in crowded.items()),
        "\n## Method\n",
        "\n".join(method.strip().splitlines()[2:]) if method else "",
    ]
    figures = {
        name: {each.name: outcome.as_table() for each, outcome in outcomes.items()}
        for name, outcomes in (("usual", usual), ("skewed", crowded))
    }
    return "\n".join(lines) + "\n", {"machine": machine, **figures}


def versions() -> str:
    """Of all programs that took part."""
    texts = [f"steelyard {__version__}"]
    for command in ([nginx_command(), "-v"], ["haproxy", "-v"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            continue
        found = re.search(r"(nginx|HAProxy)\D*([\d.]+\d)", done.stdout + done.stderr)
        texts += [f"{found[1]} {found[2]}"] if found else []
    return ", ".join(texts)


def _first_share(plan: Plan) -> float:
    weights = [rank**-plan.exponent for rank in range(1, plan.keys + 1)]
    return float(weights[0] / sum(weights))


def _steady_row(balancer: Balancer, outcome: Outcome) -> str:
    seen = outcome.steady
    cells = (
        f"{seen.hits:.1%}",
        f"{seen.busiest:.2f}",
        f"{outcome.keys_busiest:.2f}" if outcome.keys_busiest else "",
        f"{seen.requests_per_s:,.0f}",
        f"{seen.p50_s * 1e3:.1f}",
        f"{seen.p99_s * 1e3:.1f}",
        str(seen.lost),
    )
    return f"| {balancer.name} | `{balancer.scheme}` | {' | '.join(cells)} |"


def _change_row(balancer: Balancer, outcome: Outcome) -> str:
    changes = [each for each in (outcome.left, outcome.joined) if each is not None]
    return f"| {balancer.name} | `{balancer.scheme}` | {' | '.join(map(_change_cells, changes))} |"


def _change_cells(change: Change) -> str:
    shares = (change.least, change.moved, change.needless, change.hits_after)
    return " | ".join(f"{share:.1%}" for share in shares)


def main() -> None:
    """The command line."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.caches", description=method)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = [each.name for each in BALANCERS]
    parser.add_argument("--only", default=",".join(names), help="balancers, separated by commas")
    parser.add_argument("--caches", type=int, default=plan.caches)
    parser.add_argument("--keys", type=int, default=plan.keys)
    parser.add_argument("--requests", type=int, default=plan.requests)
    parser.add_argument("--clients", type=int, default=plan.clients)
    parser.add_argument("--rate", type=int, default=plan.shape.rate_per_s, help="of a cache, requests/s")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--out", type=Path, help="write PATH.md and PATH.json, too")
    chosen = parser.parse_args()
    wanted = chosen.only.split(",")
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"--only: {unknown[0]!r} is none of {', '.join(names)}")
    balancers = [each for each in BALANCERS if each.name in wanted and each.found()]

    def plan_of(exponent: float) -> Plan:
        return Plan(
            caches=chosen.caches,
            keys=chosen.keys,
            requests=chosen.requests,
            exponent=exponent,
            clients=chosen.clients,
            seed=chosen.seed,
            shape=CacheShape(rate_per_s=chosen.rate),
        )

    text, figures = page(balancers, plan_of(plan.exponent), plan_of(SKEWED))
    print(text)
    if chosen.out is not None:
        chosen.out.with_suffix(".md").write_text(text, encoding="utf-8")
        chosen.out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
