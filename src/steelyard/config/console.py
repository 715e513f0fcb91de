"""What the web pages on the admin port show, and to how many at once."""

from dataclasses import dataclass

from steelyard.config.checks import require_above


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleOptions:
    """The web pages at /console on the admin port."""

    enabled: bool = True  # false: the admin port has no pages
    jobs: bool = True  # false: they show nothing of the jobs service and cannot steer it
    state: str = ""  # the jobs service's folder; empty: STEELYARD_STATE, else ~/.local/state/steelyard
    ttft_objective_s: float = 2.0  # a later first token does not count as goodput
    max_viewers: int = 16  # pages that are kept up to date at once; more are shown, and do not move

    def __post_init__(self) -> None:
        require_above(self, "console", "ttft_objective_s", "max_viewers")
