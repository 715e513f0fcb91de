"""Controller and planner together over small nodes, without a service: starts are confirmed at once."""

from random import Random

from steelyard.model.controller_event import (
    AttemptEnded,
    AttemptLost,
    AttemptStarted,
    Event,
    Placed,
    Submitted,
)
from steelyard.model.job_record import TaskRecord, TaskState
from steelyard.model.job_specification import JobSpecification
from steelyard.model.node import Node
from steelyard.model.ordering_policy import OrderingPolicy
from steelyard.model.resources import Resources
from steelyard.policies.ordering.priority import Priority
from steelyard.policies.placement.first_fit import FirstFit
from steelyard.policies.settings import PlacementSettings
from steelyard.scheduling.controller import step
from steelyard.scheduling.controller_state import Changes, ControllerState
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.planning import Planning

WHOLE_NODE = Resources(cpu_cores=4)


class PlannedCluster:
    """Controller and planner over nodes of four cores; starts are confirmed at once."""

    def __init__(self, nodes: str = "ABC", ordering: OrderingPolicy | None = None) -> None:
        self.state = ControllerState()
        self.now_s = 0.0
        placement = FirstFit(PlacementSettings(rng=Random(0)))
        self.options = PlanOptions(ordering=ordering or Priority(), placement=placement)
        self.planning = Planning(self.state, self.options)
        self.planning.know_nodes(
            [Node(node_id=each, capacity=Resources(cpu_cores=4, memory_bytes=1e9)) for each in nodes]
        )

    def does(self, event: Event) -> Changes:
        changes = step(self.state, event, self.now_s)
        self.planning.follow(changes.tasks.values())
        if changes.nodes:
            self.planning.judge_nodes()
        return changes

    def submit(self, **more: object) -> str:
        wanted = JobSpecification(command=("work",), **{"demand": WHOLE_NODE} | more)  # type: ignore[arg-type]  # fields by name
        return self.does(Submitted(specification=wanted)).job_id

    def round(self) -> None:
        """Plan, do it, and let everything start."""
        for event in self.planning.round(self.now_s):
            self.does(event)
            if isinstance(event, Placed):
                for task_id in event.seats:
                    self.does(AttemptStarted(task_id=task_id, epoch=self.task(task_id).epoch))

    def task(self, task_id: str) -> TaskRecord:
        return self.state.tasks[task_id]

    def leave(self, *task_ids: str) -> None:
        """They stop as they were asked to."""
        for task_id in task_ids:
            assert self.task(task_id).state is TaskState.STOPPING
            epoch = self.task(task_id).epoch
            self.does(AttemptEnded(task_id=task_id, epoch=epoch, exit_code=0, asked_to_stop=True))

    def lose(self, task_id: str) -> None:
        self.does(AttemptLost(task_id=task_id, epoch=self.task(task_id).epoch, reason="gone"))

    def nodes_of(self, job_id: str) -> list[str]:
        return [task.node_id for task in self.state.tasks_of(job_id)]

    def finish(self, job_id: str, ran_s: float) -> str:
        """Its only task runs so long and ends well; the node it was on."""
        node_id = self.task(f"{job_id}.0").node_id
        self.now_s += ran_s
        self.does(AttemptEnded(task_id=f"{job_id}.0", epoch=self.task(f"{job_id}.0").epoch, exit_code=0))
        return node_id
