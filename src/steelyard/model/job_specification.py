"""What a person asks for: a job as submitted, before anything was decided about it.

A job is one task, an array of independent tasks, or a gang that runs whole or not at all. A job with a
reduce step has one more task, which runs when all others are done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.model.errors import ConfigError
from steelyard.model.resources import Resources

CONTINUE_EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits(3): "stopped, with my progress kept: start me again"; never counts as a failure."""

MAX_TASKS = 100_000
AMOUNTS = (
    "grace_s",
    "expected_time_s",
    "size_bytes",
    "checkpoint_cost_s",
    "restart_cost_s",
    "keep_claim_s",
    "time_limit_s",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """When an attempt that failed is tried again, and when not.

    max_retries: failed attempts after which a further failure is final. A lost node is no failure.
    max_losses: lost nodes after which the job is given up: its input may be what kills nodes.
    first_delay_s, max_delay_s: waits before a retry; each is twice the one before.
    no_retry_exit_codes: these mean that trying again is of no use. 2 is what shells and argparse say of
        a wrong command line.
    """

    max_retries: int = 3
    max_losses: int = 20
    first_delay_s: float = 1.0
    max_delay_s: float = 60.0
    no_retry_exit_codes: tuple[int, ...] = (2,)

    def delay_s(self, failures: int) -> float:
        """How long to wait after so many failures, 1 or more."""
        return min(self.max_delay_s, self.first_delay_s * 2.0 ** min(60, failures - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpecification:
    """One job.

    command: program and arguments, run without a shell.
    demand: of each task.
    tasks: how many equal tasks; `gang` makes them start together or not at all.
    task_environments: one a task, or none; shards carry here what is theirs.
    reduce_command: run once, after all tasks are done.
    after: jobs that must be done before this one starts.
    deadline_s: seconds after submission.
    expected_time_s, size_bytes: the seed's T_i of each task; 0 when not known.
    backup_node_id: the declared backup: where its tasks go when their node is lost.
    checkpoint_cost_s, restart_cost_s: what a stop and a new start cost, for whoever weighs a move.
    grace_s: between the request to stop and the end by force.
    max_parallel: of an array, how many tasks at once; 0 for all.
    keep_claim_s: of a gang of which a member failed or was lost: how long the others' places stay claimed for
        it while a new one is sought for that member; 0 frees them, and the gang queues like any other.
    time_limit_s: how long each task may run in all, its attempts added up; 0 for no limit. It is asked to
        stop then, killed after `grace_s`, and not tried again.
    """

    command: tuple[str, ...]
    name: str = ""
    user: str = ""
    tenant: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    demand: Resources = field(default_factory=Resources)
    tasks: int = 1
    gang: bool = False
    task_environments: tuple[Mapping[str, str], ...] = ()
    reduce_command: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    priority: int = 0
    deadline_s: float | None = None
    expected_time_s: float = 0.0
    size_bytes: float = 0.0
    checkpoint_directory: str = ""
    backup_node_id: str = ""
    preemptible: bool = True
    checkpoint_cost_s: float = 0.0
    restart_cost_s: float = 0.0
    grace_s: float = 10.0
    nice: int = 0
    max_parallel: int = 0
    keep_claim_s: float = 0.0
    time_limit_s: float = 0.0
    retry: RetryRules = field(default_factory=RetryRules)
    nodes: tuple[str, ...] = ()
    forbidden_nodes: tuple[str, ...] = ()
    node_labels: Mapping[str, str] = field(default_factory=dict)
    gpu_models: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    affinity_keys: tuple[str, ...] = ()
    anti_affinity_keys: tuple[str, ...] = ()
    data_bytes: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ConfigError('the job has no command: give one, such as command = ["python", "train.py"]')
        if not 1 <= self.tasks <= MAX_TASKS:
            raise ConfigError(f"tasks is {self.tasks}: it must be in 1..{MAX_TASKS}")
        if self.task_environments and len(self.task_environments) != self.tasks:
            raise ConfigError(f"{len(self.task_environments)} task_environments for {self.tasks} tasks")
        if self.gang and self.max_parallel:
            raise ConfigError("max_parallel is for arrays: a gang runs all its tasks at once")
        if self.keep_claim_s and not self.gang:
            raise ConfigError("keep_claim is for gangs: say gang = true, or leave it out")
        gpus = self.demand.gpus
        if gpus > 1 and gpus != int(gpus):
            raise ConfigError(f"gpus is {gpus}: ask for a share of one (0.5) or for whole ones (2)")
        for name in AMOUNTS:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        if self.deadline_s is not None and self.deadline_s <= 0:
            raise ConfigError(f"deadline_s is {self.deadline_s}: it counts from submission, so above 0")

    @property
    def all_tasks(self) -> int:
        """Tasks with the reduce step."""
        return self.tasks + bool(self.reduce_command)
