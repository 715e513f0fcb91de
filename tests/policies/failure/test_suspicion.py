"""Verdicts on silent nodes."""

import pytest

from steelyard.model.errors import ConfigError
from steelyard.policies.failure.suspicion import SuspicionRules, Word

RULES = SuspicionRules(suspect_after_s=1.5, lease_s=6.0, alive_patience_s=60.0)


@pytest.mark.parametrize(
    ("silence_s", "word", "lost"),
    [
        (1.0, Word.DEAD, False),  # nobody asked the witness yet
        (1.5, Word.DEAD, True),
        (5.9, Word.UNKNOWN, False),
        (6.0, Word.UNKNOWN, True),
        (59.0, Word.ALIVE, False),  # busy is not dead
        (60.0, Word.ALIVE, True),
    ],
)
def test_silence_alone_is_no_verdict(silence_s: float, word: Word, lost: bool) -> None:
    assert bool(RULES.verdict(silence_s, word)) is lost


def test_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="in this order"):
        SuspicionRules(suspect_after_s=10.0, lease_s=5.0)
