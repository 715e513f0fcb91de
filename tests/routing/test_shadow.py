"""A shadow policy: it decides, is compared, and never acts."""

from random import Random

from tests.harness.fleets import fleet_of

from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.model.routing_policy import LearningPolicy
from steelyard.policies.routing.registry import POLICIES
from steelyard.routing.shadow import MAX_FAILURES, Shadowed

ELIGIBLE = Eligible.of(range(3))


class Fixed:
    """Always picks one slot, and remembers what it heard."""

    def __init__(self, slot: int, scores: tuple[float, ...] = ()) -> None:
        self.slot, self.scores, self.heard = slot, scores, 0

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        return Pick(self.slot, f"always-{self.slot}", tuple(range(len(self.scores))), self.scores)

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        self.heard += 1

    def observe_finish(self, *seen: object) -> None:
        self.heard += 1


class Broken(Fixed):
    """Fails whenever it is asked."""

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        raise RuntimeError("no luck")


def test_the_live_pick_is_returned_and_differences_are_counted() -> None:
    shadowed = Shadowed(Fixed(0, scores=(1.0, 3.0, 2.0)), Fixed(1))
    fleet = fleet_of(0, 0, 0)
    picks = [shadowed.pick(Request(), ELIGIBLE, fleet, 0.0).slot for _ in range(5)]
    count = shadowed.count
    assert picks == [0] * 5
    assert (count.decisions, count.different, count.failures) == (5, 5, 0)
    assert count.pairs == {("always-0", "always-1"): 5}
    assert (count.scored, count.worse_score) == (5, 10.0)


def test_a_policy_beside_its_own_twin_never_differs() -> None:
    fleet = fleet_of(3, 1, 2)
    shadowed = Shadowed(POLICIES["least-requests"](Random(1)), POLICIES["least-requests"](Random(2)))
    for _ in range(50):
        shadowed.pick(Request(), ELIGIBLE, fleet, 0.0)
    assert (shadowed.count.decisions, shadowed.count.different) == (50, 0)


def test_both_learn_from_what_happened() -> None:
    live, shadow = Fixed(0), Fixed(1)
    shadowed = Shadowed(live, shadow)
    assert isinstance(shadowed, LearningPolicy)
    fleet, pick = fleet_of(0, 0, 0), Pick(0, "x")
    shadowed.observe_first_token(pick, Request(), 0.1, fleet, 0.0)
    shadowed.observe_finish(pick, Request(), 0.1, 5, -1, fleet, 0.0)
    assert (live.heard, shadow.heard) == (2, 2)


def test_a_shadow_that_fails_harms_nobody_and_is_asked_no_more() -> None:
    shadowed = Shadowed(Fixed(2), Broken(1))
    fleet = fleet_of(0, 0, 0)
    assert {shadowed.pick(Request(), ELIGIBLE, fleet, 0.0).slot for _ in range(100)} == {2}
    assert (shadowed.count.failures, shadowed.count.decisions) == (MAX_FAILURES, 0)
