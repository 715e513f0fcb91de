"""What a controller that lives for months forgets: jobs that ended long ago, and keys whose promise is over.

A job goes when it ended `keep_jobs_s` ago, or when more have ended since than are to be kept; never before
`keep_at_least_s`, so that whoever waits for it sees its end, and never while a job that goes on waits for it.
Its key stands for it for `keep_keys_s` from its submission: a repeated submission is no second job.
Times are the controller's: they stand still while no service runs, and no change of the wall clock touches
them. The jobs that ended first go first. Cost: those that go, and a look at the next.
"""

from dataclasses import dataclass

from steelyard.model.controller_event import Forgotten
from steelyard.model.errors import ConfigError
from steelyard.scheduling.controller_state import ControllerState

MAX_JOBS_AT_ONCE = 200
MAX_TASKS_AT_ONCE = 5_000
MAX_KEYS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How much is kept of what is over.

    keep_jobs, keep_tasks: jobs that ended, and tasks of theirs, whichever is reached first.
    """

    keep_jobs_s: float = 30 * 86_400.0
    keep_jobs: int = 20_000
    keep_tasks: int = 200_000
    keep_keys_s: float = 7 * 86_400.0
    keep_at_least_s: float = 300.0

    def __post_init__(self) -> None:
        for name in ("keep_jobs_s", "keep_jobs", "keep_tasks", "keep_keys_s", "keep_at_least_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"retention: {name} is {getattr(self, name)}: it must be 0 or more")


def due(state: ControllerState, rules: RetentionRules, now_s: float) -> Forgotten | None:
    """What is to be forgotten now, not too much at once; None for nothing."""
    jobs = _jobs(state, rules, now_s)
    keys: list[str] = []
    for kept in state.kept_keys.values():
        # In about the order in which they end: one that stands before an earlier one keeps it for a while.
        if len(keys) >= MAX_KEYS_AT_ONCE or kept.until_s > now_s:
            break
        keys.append(kept.key)
    if not jobs and not keys:
        return None
    return Forgotten(job_ids=tuple(jobs), keys=tuple(keys), keep_keys_s=rules.keep_keys_s)


def _jobs(state: ControllerState, rules: RetentionRules, now_s: float) -> list[str]:
    left, tasks_left = len(state.finished_s), state.finished_tasks
    found: list[str] = []
    tasks = 0
    for job_id, ended_s in state.finished_s.items():
        too_many = left > rules.keep_jobs or tasks_left > rules.keep_tasks
        age_s = now_s - ended_s
        if age_s < rules.keep_at_least_s or (not too_many and age_s < rules.keep_jobs_s):
            break  # those that follow ended later
        if tasks >= MAX_TASKS_AT_ONCE or len(found) >= MAX_JOBS_AT_ONCE:
            break
        if state.may_forget(job_id):
            found.append(job_id)
            count = state.jobs[job_id].specification.all_tasks
            left, tasks, tasks_left = left - 1, tasks + count, tasks_left - count
    return found
