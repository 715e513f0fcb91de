"""What a routing policy is, what it answers, and what it may learn from."""

from typing import Protocol, runtime_checkable

from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request


class RoutingPolicy(Protocol):
    """Choose one replica for one request. On the hot path: no I/O, no clock, no logging."""

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Return a pick whose slot is in `eligible`, which is never empty.

        now_s: monotonic seconds, of the machine or of the simulation.
        """
        ...


@runtime_checkable
class LearningPolicy(Protocol):
    """A policy that also wants to hear how its picks went."""

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """The first output byte of a picked request arrived `ttft_s` seconds after it was sent."""
        ...

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
        """A picked request ended well.

        output_tokens: tokens in the answer, 0 when not known.
        cached_tokens: prompt tokens that the engine says it had in its cache, -1 when it does not say.
        """
        ...
