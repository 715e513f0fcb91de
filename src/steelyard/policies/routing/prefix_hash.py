"""A hash of the prompt's beginning on a ring, with bounded loads: smg's prefix_hash.

The first 256 tokens decide the place on the ring; the walk goes on while a replica has more than 1.25 times
the mean of requests in flight. After smg:model_gateway/src/policies (prefix_hash: 256 tokens, load factor
1.25). Differs: the first whole block of 256 tokens or more; a prompt shorter than that goes to one at
random. Ties: none, points are distinct. Cost: a bisection and a short walk, as of the hash ring.
"""

from dataclasses import dataclass

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ring import Ring

PREFIX_TOKENS = 256
LOAD_FACTOR = 1.25


@dataclass(slots=True)
class PrefixHash:
    """The beginning of the prompt decides."""

    rng: Rng
    _ring: Ring | None = None
    _version: int = -1

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the first on the ring that is eligible and not too busy."""
        slots, hashes = eligible.slots, request.prefix_hashes
        if not hashes:
            return Pick(slots[int(self.rng.random() * len(slots))], "no-prefix")
        if self._ring is None or self._version != fleet.version:
            self._ring, self._version = Ring(fleet), fleet.version
        block = min(len(hashes), max(1, PREFIX_TOKENS // request.prefix_block_tokens))
        requests, members = fleet.requests, eligible.members
        allowed = LOAD_FACTOR * (fleet.in_flight(eligible) + 1) / len(slots)
        for slot in self._ring.walk(hashes[block - 1]):
            if slot in members and requests[slot] <= allowed:
                return Pick(slot, "ring", (slot,), (requests[slot],))
        # The least loaded is never above the mean, so this is reached only by a ring that lacks a slot.
        return Pick(slots[0], "ring-full")
