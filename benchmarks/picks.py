"""Microseconds a pick, for each policy at 10, 100 and 1,000 replicas: `python -m benchmarks.picks`.

Method: 2,000 picks of requests of 1,024 prompt tokens in four blocks and a key each, over a fleet with
random load; median of five rounds of process time. Policies marked * look at all replicas; least
requests and the rings do so only where those that may serve are a part of the fleet. The last row is the
default for prompts that are shorter than a block.
"""

from random import Random
from statistics import median
from time import process_time

from benchmarks.machine import describe
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.request import PREFIX_HASH_BITS, Request
from steelyard.policies.routing.registry import DEFAULT_POLICY, POLICIES

SIZES = (10, 100, 1_000)
LOOK_AT_ALL = {
    "weighted-round-robin",
    "weighted-least-requests",
    "least-tokens",
    "lmetric",
    "dynamo-cost",
    "dynamo-cost-32",
    "sglang-cache-aware",
    "smg-least-load",
    "aibrix-prefix-cache",
    "inference-extension",
    "production-stack-prefix",
    "production-stack-load-aware",
    "vllm-smetric",
    "preble-e2",
}
PICKS = 2_000


def _fleet(size: int, rng: Random) -> Fleet:
    loads = [rng.randrange(1, 50) for _ in range(size)]
    return Fleet(
        version=1,
        ids=[f"replica-{slot}" for slot in range(size)],
        generations=[1] * size,
        weights=[1.0] * size,
        kv_capacity_tokens=[0] * size,
        requests=loads,
        queued_prompt_tokens=[100 * load for load in loads],
        output_tokens=[10 * load for load in loads],
    )


def microseconds(name: str, size: int, blocks: int = 4) -> float:
    """Median time of one pick."""
    rng = Random(1)
    fleet, eligible = _fleet(size, rng), Eligible.of(range(size))
    policy = POLICIES[name](rng)
    requests = [
        Request(
            prompt_tokens=1024,
            prefix_hashes=tuple(rng.getrandbits(PREFIX_HASH_BITS) for _ in range(blocks)),
            affinity_key=f"k{n}",
        )
        for n in range(PICKS)
    ]
    policy.pick(requests[0], eligible, fleet, 0.0)
    rounds = []
    for _ in range(5):
        start = process_time()
        for request in requests:
            policy.pick(request, eligible, fleet, 0.0)
        rounds.append((process_time() - start) / PICKS * 1e6)
    return median(rounds)


def run() -> str:
    """The table as Markdown."""
    rows = [
        f"## Microseconds a pick\n\n{describe()}\n",
        "| policy | " + " | ".join(f"{n:,}" for n in SIZES) + " |",
    ]
    rows.append("|---|" + "---:|" * len(SIZES))
    for name in POLICIES:
        cells = " | ".join(f"{microseconds(name, size):.1f}" for size in SIZES)
        rows.append(f"| {name}{'*' if name in LOOK_AT_ALL else ''} | {cells} |")
    cells = " | ".join(f"{microseconds(DEFAULT_POLICY, size, blocks=0):.1f}" for size in SIZES)
    rows.append(f"| {DEFAULT_POLICY}, no block | {cells} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(run())
