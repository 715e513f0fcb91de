"""A policy that sees what none can: the replicas' true caches, queues and speeds. The mark to come near to.

Its cost is the default's, with the true figures in place of estimates: prompt tokens left to be processed,
tokens in the cache, and the engine's own profile. For the simulator only. Ties go to one at random. Cost: it
looks at every sequence of all eligible replicas.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from steelyard.engines.skipping import SkippingEngine
from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.routing.prefix_ttft import BATCH_STEPS, BUSY_KEPT, MOST_BUSY, STAYING, WORK_KEPT
from steelyard.policies.ties import least_slot

ORACLE = "oracle"
STALL_SHARE = 0.03  # thrice what `prefix_ttft` counts; all else as there


@runtime_checkable
class SeesEngines(Protocol):
    """A policy to which the simulator shows its engines."""

    engines: Sequence[SkippingEngine]


@dataclass(slots=True)
class Oracle:
    """The default's cost from true figures."""

    rng: Rng
    engines: Sequence[SkippingEngine] = field(default_factory=list)
    _busy: float = 0.3
    _work_s: float = 0.3

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least true cost."""
        busy_share = min(self._busy, MOST_BUSY)
        others = busy_share / (1.0 - busy_share)
        anywhere, here = 1.0 + (1.0 - STAYING) * others, STAYING * others / self._work_s
        cached: dict[int, int] = {}
        costs: dict[int, float] = {}
        works_s: dict[int, float] = {}
        busy = 0
        for slot in eligible.slots:
            batching = self.engines[slot].batching
            profile, running = batching.profile, batching.running
            cached[slot] = batching.cache.present(request.prefix_hashes) * batching.cache.block_tokens
            own_s = works_s[slot] = profile.step_s + profile.prefill_token_s * max(
                1, request.prompt_tokens - cached[slot]
            )
            left = sum(each.target_tokens - each.prefilled_tokens for each in running)
            left += sum(each.prompt_tokens for each in batching.waiting)
            busy += left > 0
            left_s = left / profile.prefill_tokens_per_s
            batch = len(running) + len(batching.waiting)
            stalls = STALL_SHARE * batch * min(1.0, own_s)
            delays = here * own_s
            waiting_s = left_s * (1.0 + delays) + own_s * (anywhere + 0.5 * delays)
            costs[slot] = waiting_s + stalls + BATCH_STEPS * profile.step_s * batch
        self._busy += (busy / len(eligible.slots) - self._busy) * (1 - BUSY_KEPT)
        slot = least_slot(eligible.slots, costs.__getitem__, self.rng)
        self._work_s += (works_s[slot] - self._work_s) * (1 - WORK_KEPT)
        return Pick(slot, ORACLE, eligible.slots, tuple(costs.values()), cached[slot])
