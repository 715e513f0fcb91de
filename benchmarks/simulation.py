"""How many requests a second of one core the simulator serves, and how that grows with the fleet.

Process time, not wall time, so that other work on the machine does not count; the median of several
rounds; the trace is read before. Arrivals are scaled with the fleet, so that a replica's load is the same.
"""

import random
import statistics
import time
from collections.abc import Iterable

import msgspec

from benchmarks.machine import describe
from steelyard.config.plugins import make_policy
from steelyard.engines.profiles import PROFILES
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.traces.generator import generate_conversation
from steelyard.traces.readers import AZURE_CONVERSATION, data_folder, read_trace
from steelyard.traces.request import TraceRequest

PROFILE = "llama2-70b-h100x8"
POLICIES = ("round-robin", "least-requests", "prefix-ttft")
FLEETS = (10, 16, 100, 1000)
ROUNDS = 3


def trace() -> tuple[str, list[TraceRequest]]:
    """Azure's conversation trace, or a generated one like it where that is not at hand."""
    folder = data_folder()
    if folder is not None:
        return "Azure 2023 conversation", read_trace(folder / AZURE_CONVERSATION)
    return "generated conversation", generate_conversation(19_366, random.Random(1))


def requests_per_s(policy: str, replicas: int, requests: Iterable[TraceRequest]) -> float:
    """Requests a second of process time, the median of `ROUNDS`."""
    scaled = [msgspec.structs.replace(each, arrival_s=each.arrival_s * 16 / replicas) for each in requests]
    rates = []
    for _ in range(ROUNDS):
        rng = random.Random(1)
        fleet = SimulatedFleet([PROFILES[PROFILE]] * replicas, make_policy(policy, rng), rng, 512)
        began_s = time.process_time()
        fleet.run(scaled)
        rates.append(len(scaled) / (time.process_time() - began_s))
    return statistics.median(rates)


def run() -> str:
    """Measure, and return the page."""
    name, requests = trace()
    lines = [
        "# What the simulator costs",
        "",
        f"{describe()}. {name}, {len(requests):,} requests on engines `{PROFILE}`. Process time, median of",
        f"{ROUNDS} rounds, the trace read before; arrivals are scaled with the fleet, so a replica's load",
        "is the same. Made by `python -m benchmarks.simulation`.",
        "",
        "Requests a second of one core:",
        "",
        "| policy | " + " | ".join(f"{count:,} replicas" for count in FLEETS) + " | cost at 1,000 over 10 |",
        "|---" * (len(FLEETS) + 2) + "|",
    ]
    for policy in POLICIES:
        rates = [requests_per_s(policy, count, requests) for count in FLEETS]
        cells = " | ".join(f"{rate:,.0f}" for rate in rates)
        lines.append(f"| {policy} | {cells} | {rates[0] / rates[-1]:.2f} |")
    lines += [
        "",
        "Least requests keeps a large fleet in order; the default looks at a sample of one.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(run(), end="")
