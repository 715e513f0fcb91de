"""What the routing benchmark runs: loads on fleets, policies, seeds; and its finished runs, kept.

A run is kept by the digest of all sources that may change it, so a page is never made of runs of two
versions, and one that was cut short goes on where it was.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

import steelyard
from steelyard.config.plugins import make_policy
from steelyard.engines.profiles import PROFILES, EngineProfile
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.routing.registry import DEFAULT_POLICY, POLICIES
from steelyard.reports.objectives import Objective
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.oracle import ORACLE, Oracle
from steelyard.simulation.report import SimulationReport, summarise
from steelyard.traces.generators import poisson_times, sessions, shared_prefix_groups
from steelyard.traces.readers import AZURE_CONVERSATION, read_trace
from steelyard.traces.request import TraceRequest

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
# Run first, with all seeds; the others are further off than seeds are apart.
CLOSEST = (DEFAULT_POLICY, ORACLE, "dynamo-cost", "lmetric", "inference-extension", "vllm-smetric",
           "aibrix-prefix-cache")  # fmt: skip
OTHERS = tuple(name for name in POLICIES if name not in SAME and name not in CLOSEST)
# What may change a run: whatever is beside these (jobs, placement, the gateway) does not.
SOURCES = (
    "cluster/ledger.py",
    "cluster/membership.py",
    "engines/*.py",
    "model/fleet*.py",
    "model/pick.py",
    "model/request.py",
    "policies/failure/*.py",
    "policies/pref*.py",
    "policies/ring.py",
    "policies/ties.py",
    "reports/objectives.py",
    "routing/router.py",
    "simulation/answer.py",
    "simulation/fleet.py",
    "simulation/oracle.py",
    "simulation/report.py",
    "traces/generator*.py",
    "traces/readers.py",
    "traces/request.py",
)
KEPT = Path("out") / "routing-runs"


@dataclass(frozen=True)
class Case:
    """A load on a fleet. requests: from a seed, which recorded traces do not use."""

    key: str
    title: str
    engines: tuple[EngineProfile, ...]
    requests: Callable[[int], list[TraceRequest]]


def cases(folder: Path) -> list[Case]:
    """All of them."""

    @cache
    def trace(name: str) -> list[TraceRequest]:
        return read_trace(folder / name)

    def recorded(key: str, name: str, title: str, engines: tuple[EngineProfile, ...], speed: float) -> Case:
        def requests(_: int) -> list[TraceRequest]:
            return [msgspec.structs.replace(each, arrival_s=each.arrival_s / speed) for each in trace(name)]

        return Case(f"{key}-{speed:g}", f"{title} at {speed:g} times its speed", engines, requests)

    mooncake = ("mooncake", MOONCAKE_CONVERSATION, "Mooncake conversation, eight equal engines,", EQUAL)
    azure = ("azure", AZURE_CONVERSATION, "Azure 2023 conversation, eight equal engines,", EQUAL)
    mixed = ("azure-mixed", AZURE_CONVERSATION, "Azure 2023 conversation, engines of two speeds,", MIXED)
    return [
        Case(
            "groups",
            "Shared prefixes: 150 groups of 5 users, 6,000 shared and 1,200 own tokens, 250 of output, "
            "Poisson 3 to 60 requests/s rising over 480 s, eight engines of 307,328 KV tokens",
            (GROUPS_ENGINE,) * 8,
            lambda seed: shared_prefix_groups(random.Random(seed)),
        ),
        *(recorded(*mooncake, speed) for speed in (1.0, 1.5, 2.0)),
        *(recorded(*azure, speed) for speed in (4.0, 5.0)),
        recorded(*mixed, 3.0),
        Case(
            "sessions",
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


@cache
def sources_digest(policy: str) -> str:
    """Of everything that may change a policy's run, this file included; other policies cannot."""
    package = Path(steelyard.__file__).parent
    paths = {path for pattern in SOURCES for path in package.glob(pattern)}
    if policy in POLICIES:
        paths.add(package.parent.joinpath(*POLICIES[policy].__module__.split(".")).with_suffix(".py"))
    digest = hashlib.sha256()
    for path in (*sorted(paths), Path(__file__)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _kept_at(policy: str, case: Case, seed: int) -> Path:
    return KEPT / sources_digest(policy) / case.key / f"{policy}-{seed}.json"


def is_kept(policy: str, case: Case, seed: int) -> bool:
    """Whether a run is there already."""
    return _kept_at(policy, case, seed).is_file()


def kept_or_simulated(policy: str, case: Case, seed: int) -> SimulationReport:
    """A run that was kept, or a new one, which is."""
    path = _kept_at(policy, case, seed)
    if path.is_file():
        return msgspec.json.decode(path.read_bytes(), type=SimulationReport)
    report = simulated(policy, case, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(report))
    partial.replace(path)
    return report
