"""A routing decision. Written out for the reason that `model/request.py` gives: every request makes one."""

from typing import Final


class Pick:
    """A decision, with its own account of why. Nothing of it changes.

    slot: the chosen one, a member of the eligible set.
    reason: a short constant code, such as "least-requests" or "prefix".
    candidates: slots that were compared; () when none were (random, round robin).
    scores: the term that decided, one a candidate, smaller is better.
    matched_tokens: prompt tokens believed to be in the chosen replica's cache.
    work_tokens: prompt tokens that stand before this request's first output token on the chosen
        replica, its own included; 0 when the policy does not estimate it.
    """

    __slots__ = ("candidates", "matched_tokens", "reason", "scores", "slot", "work_tokens")

    def __init__(
        self,
        slot: int,
        reason: str,
        candidates: tuple[int, ...] = (),
        scores: tuple[float, ...] = (),
        matched_tokens: int = 0,
        work_tokens: float = 0.0,
    ) -> None:
        self.slot: Final = slot
        self.reason: Final = reason
        self.candidates: Final = candidates
        self.scores: Final = scores
        self.matched_tokens: Final = matched_tokens
        self.work_tokens: Final = work_tokens

    def _values(self) -> tuple[object, ...]:
        return (
            self.slot,
            self.reason,
            self.candidates,
            self.scores,
            self.matched_tokens,
            self.work_tokens,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pick) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Pick{self._values()}"
