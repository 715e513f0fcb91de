"""How many moves are allowed: a round, an hour, a job; and how long a job rests after one.

Moves cost work and unsettle the cluster; a budget keeps a wrong threshold from moving everything.
Cost: one deque.
"""

from collections import deque
from dataclasses import dataclass, field

from steelyard.model.errors import ConfigError
from steelyard.model.job import RunningJob

HOUR_S = 3600.0


@dataclass(slots=True, kw_only=True)
class MoveBudget:
    """One policy's.

    per_round, per_hour: tasks moved. per_job: how often one job may be moved in its life.
    rest_s: a job that was moved or has just started stays where it is for so long.
    """

    per_round: int = 2
    per_hour: int = 30
    per_job: int = 5
    rest_s: float = 600.0
    _spent_at_s: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        if min(self.per_round, self.per_hour, self.per_job) < 0 or self.rest_s < 0:
            raise ConfigError("a budget of moves is below 0: use 0 for no moves at all")

    def left(self, now_s: float) -> int:
        """Tasks that may still be moved in this round."""
        while self._spent_at_s and self._spent_at_s[0] <= now_s - HOUR_S:
            self._spent_at_s.popleft()
        return min(self.per_round, self.per_hour - len(self._spent_at_s))

    def spend(self, moves: int, now_s: float) -> None:
        """Note moves that were proposed."""
        self._spent_at_s.extend([now_s] * moves)

    def may_move(self, running: RunningJob, now_s: float) -> bool:
        """Whether the job has rested, and has moves left."""
        since_s = running.started_s if running.moved_s is None else max(running.started_s, running.moved_s)
        return running.moves < self.per_job and now_s - since_s >= self.rest_s


def cost_s(running: RunningJob, undeclared_s: float) -> float:
    """What stopping and starting again takes of the job's time; `undeclared_s` where it does not say."""
    return running.job.checkpoint_cost_s + running.job.restart_cost_s or undeclared_s
