"""Sticky session: a key stays with the replica that it met first, for as long as that one can serve it.

The first meeting is the less busy of two random choices; what is remembered is bounded (the oldest key
is forgotten first), and a key that was forgotten, or whose replica went, is placed anew. A request
without a key is placed each time. Ties go to the first sample, which is random. Cost: two dictionary
operations.
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import two_slots

MAX_SESSIONS = 100_000


@dataclass(slots=True)
class StickySession:
    """Remembers where each key went."""

    rng: Rng
    max_sessions: int = MAX_SESSIONS
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the remembered one, or place the key."""
        key = request.affinity_key
        if key and (place := self._places.pop(key, None)) is not None:
            slot, generation = place
            if slot in eligible.members and fleet.generations[slot] == generation:
                self._places[key] = place  # the youngest now
                return Pick(slot, "session")
        first, second = two_slots(eligible.slots, self.rng)
        slot = second if fleet.requests[second] < fleet.requests[first] else first
        if key:
            if len(self._places) >= self.max_sessions:
                del self._places[next(iter(self._places))]
            self._places[key] = (slot, fleet.generations[slot])
        return Pick(slot, "new-session" if key else "no-key", (first, second))
