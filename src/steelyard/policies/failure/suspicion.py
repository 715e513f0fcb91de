"""Is a silent node dead? Silence alone never says so: a second witness is asked before the verdict.

A machine whose processors are all busy is late with its signs of life, and a verdict then kills healthy
work (ray#59193, skypilot#10162). So silence only makes a suspect; a witness who looks by another way
says whether it is dead (verdict at once), lives (much more patience), or cannot tell (verdict when its
lease is over, by when its agent has ended everything itself). All times are of monotonic clocks.
"""

from dataclasses import dataclass
from enum import StrEnum

from steelyard.model.errors import ConfigError


class Word(StrEnum):
    """What the second witness says."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspicionRules:
    """How long silence may last.

    suspect_after_s: three missed signs of life of 0.5 s; then the witness is asked.
    lease_s: after which a node nobody can see is lost, and has ended its tasks itself.
    alive_patience_s: after which one that lives but says nothing is lost: it does nothing useful.
    """

    suspect_after_s: float = 1.5
    lease_s: float = 6.0
    alive_patience_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.suspect_after_s <= self.lease_s <= self.alive_patience_s:
            raise ConfigError(
                f"suspect_after_s {self.suspect_after_s}, lease_s {self.lease_s}, alive_patience_s "
                f"{self.alive_patience_s}: they must be above 0 and in this order"
            )

    def is_suspect(self, silence_s: float) -> bool:
        """Whether the witness is to be asked."""
        return silence_s >= self.suspect_after_s

    def verdict(self, silence_s: float, word: Word) -> str:
        """Why the node is lost; "" when it is not."""
        if not self.is_suspect(silence_s):
            return ""
        if word is Word.DEAD:
            return f"silent for {silence_s:.1f} s, and nothing of it is left"
        if word is Word.UNKNOWN and silence_s >= self.lease_s:
            return f"silent for {silence_s:.1f} s, and its lease of {self.lease_s:g} s is over"
        if silence_s >= self.alive_patience_s:
            return f"alive but silent for {silence_s:.1f} s"
        return ""
