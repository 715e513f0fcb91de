"""A second policy that decides beside the live one and does nothing: what would it have picked?

It is asked for every request that the live policy is asked for, with the same request, the same eligible
set and the loads as they are; what it remembers (an index, a place in a ring, learned speeds) is its
own and follows its own picks. So a difference is a difference of one decision, not of a whole day: what
a day under the shadow policy would have been is for the simulator (`steelyard replay-log`). A shadow that
fails harms nobody: it is counted and, after some failures, asked no more. Cost: the second policy's
pick.
"""

from dataclasses import dataclass, field

from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.model.routing_policy import LearningPolicy, RoutingPolicy

MAX_FAILURES = 10
MAX_PAIRS = 64  # of reasons; a policy has few, but an outsider's might make them up


@dataclass(slots=True)
class ShadowCount:
    """What came of the comparison so far.

    scored, worse_score: decisions in which the live policy had scored the shadow's replica too, and by
        how much it held that one to be worse, in its own unit, added up.
    pairs: (reason of the live pick, reason of the shadow's) to how often they chose different replicas.
    """

    decisions: int = 0
    different: int = 0
    failures: int = 0
    scored: int = 0
    worse_score: float = 0.0
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)


class Shadowed:
    """The live policy, with another one watched beside it. It is a policy, and it learns as both do."""

    __slots__ = ("_live", "_live_learns", "_shadow", "_shadow_learns", "count")

    def __init__(self, live: RoutingPolicy, shadow: RoutingPolicy) -> None:
        self._live = live
        self._shadow = shadow
        self._live_learns = live if isinstance(live, LearningPolicy) else None
        self._shadow_learns = shadow if isinstance(shadow, LearningPolicy) else None
        self.count = ShadowCount()

    @property
    def live(self) -> RoutingPolicy:
        """The one that acts."""
        return self._live

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """The live policy's pick."""
        pick = self._live.pick(request, eligible, fleet, now_s)
        count = self.count
        if count.failures < MAX_FAILURES:
            try:
                other = self._shadow.pick(request, eligible, fleet, now_s)
            except Exception:  # noqa: BLE001 - nothing that the shadow does may reach the live request
                count.failures += 1
            else:
                self._compare(pick, other)
        return pick

    def _compare(self, pick: Pick, other: Pick) -> None:
        count = self.count
        count.decisions += 1
        if pick.slot == other.slot:
            return
        count.different += 1
        pair = (pick.reason, other.reason)
        if pair in count.pairs or len(count.pairs) < MAX_PAIRS:
            count.pairs[pair] = count.pairs.get(pair, 0) + 1
        scores = dict(zip(pick.candidates, pick.scores, strict=False))
        if pick.slot in scores and other.slot in scores:
            count.scored += 1
            count.worse_score += scores[other.slot] - scores[pick.slot]

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """Both learn from what happened, which is what the live policy chose."""
        if self._live_learns is not None:
            self._live_learns.observe_first_token(pick, request, ttft_s, fleet, now_s)
        if self._shadow_learns is not None:
            self._guarded("observe_first_token", pick, request, ttft_s, fleet, now_s)

    def observe_finish(
        self,
        pick: Pick,
        request: Request,
        total_s: float,
        output_tokens: int,
        cached_tokens: int,
        fleet: Fleet,
        now_s: float,
    ) -> None:
        """As above."""
        seen = (pick, request, total_s, output_tokens, cached_tokens, fleet, now_s)
        if self._live_learns is not None:
            self._live_learns.observe_finish(*seen)
        if self._shadow_learns is not None:
            self._guarded("observe_finish", *seen)

    def _guarded(self, method: str, *seen: object) -> None:
        if self.count.failures < MAX_FAILURES:
            try:
                getattr(self._shadow_learns, method)(*seen)
            except Exception:  # noqa: BLE001 - as in `pick`
                self.count.failures += 1
