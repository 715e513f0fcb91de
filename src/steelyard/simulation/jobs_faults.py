"""Runs of the simulated cluster and what must hold in each; `jobs_soak` plays many.

While it runs: no task runs twice at once, no attempt starts twice, epochs only rise, what holds a place
has a seat and the planner reserves just that, what survivors of a gang keep they give back in time, no gang
stays half placed. At the end, once faults cease:
every accepted job came to an end, a key was one job, what is recorded as done did finish, and what nobody
cancelled or broke is done.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TypeVar

from steelyard.model.controller_event import (
    CancelOrdered,
    Event,
    MoveOrdered,
    NodeCordoned,
    NodeUncordoned,
    PauseOrdered,
    ResumeOrdered,
    Submitted,
)
from steelyard.model.job_record import Seat, TaskRecord, TaskState
from steelyard.model.job_specification import JobSpecification, RetryRules
from steelyard.model.resources import Resources
from steelyard.scheduling.controller import PLANNER_PATIENCE_S
from steelyard.simulation.jobs_agents import Message, Violation
from steelyard.simulation.jobs_world import TURN_S, Controller, Dies, World

Value = TypeVar("Value")

STORM_S = 40.0
CALM_S = 400.0
HALF_PLACED_LIMIT_S = 45.0
KEPT_TOO_LONG_S = PLANNER_PATIENCE_S + 2 * TURN_S


@dataclass(slots=True)
class Run:
    """One seed."""

    seed: int
    world: World = field(init=False)
    rng: Random = field(init=False)
    keys: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, JobSpecification] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    half_since_s: dict[str, float] = field(default_factory=dict)
    meddled: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(self.seed)
        self.rng = self.world.rng

    def play(self) -> None:
        """All of it. Raises Violation."""
        world = self.world
        for agent in world.agents.values():
            agent.come_back(0.0)
            self._agent_turn(agent.node_id)
        self._controller_begins()
        for number in range(self.rng.randrange(2, 7)):
            self._submit_later(f"key{number}", self._draw_job(number))
        self._later(world.faults.crash_every_s, self._crash)
        self._later(world.faults.node_death_every_s, self._node_death)
        self._later(12.0, self._meddle)
        self._later(10.0, world.jump)
        world.run_until(STORM_S)
        self._calm_down()
        while world.now_s < CALM_S and not self._is_over():
            world.run_until(world.now_s + 5.0)
        self._judge()

    # --- what happens -------------------------------------------------------------------------------------

    def _later(self, mean_s: float, action: Callable[[], None]) -> None:
        """Again and again, with this mean time between, as long as it is not calm."""
        if mean_s <= 0:
            return

        def happen() -> None:
            if not self.world.calm:
                action()
                self.world.at(self.rng.expovariate(1 / mean_s), happen)

        self.world.at(self.rng.expovariate(1 / mean_s), happen)

    def _draw_job(self, number: int) -> JobSpecification:
        rng = self.rng
        tasks = rng.choice((1, 1, 2, 3))
        gang = tasks > 1 and rng.random() < 0.5
        return JobSpecification(
            command=("work",),
            demand=Resources(cpu_cores=rng.choice((1.0, 2.0, 3.0))),
            tasks=tasks,
            gang=gang,
            reduce_command=("reduce",) if rng.random() < 0.2 else (),
            priority=rng.randrange(3),
            backup_node_id=rng.choice(("", "n0", "n2")),
            keep_claim_s=rng.choice((0.0, 3.0, 15.0)) if gang else 0.0,
            max_parallel=1 if tasks > 1 and not gang and rng.random() < 0.3 else 0,
            grace_s=2.0,
            retry=RetryRules(max_retries=50, max_losses=1000, first_delay_s=0.5, max_delay_s=4.0),
        )

    def _submit_later(self, key: str, specification: JobSpecification) -> None:
        """A person who asks until there is an answer."""
        self.wanted[key] = specification

        def ask() -> None:
            controller = self.world.controller
            known = self.keys.get(key)
            if controller is not None and controller.alive:
                event = Submitted(specification=specification, key=key, wall_s=self.world.wall_s)
                changes = self._guarded(lambda: controller.order(event))
                # The answer may be lost, though the job was accepted.
                if changes is not None and not self.world.chance(0.3):
                    if known not in (None, changes.job_id):
                        raise Violation(f"{key} is job {known} and job {changes.job_id}")
                    self.keys[key] = changes.job_id
                    if self.rng.random() < 0.7:
                        return
            self.world.at(1.0 + self.rng.random(), ask)

        self.world.at(self.rng.random() * 15.0, ask)

    def _guarded(self, action: Callable[[], Value]) -> Value | None:
        try:
            return action()
        except Dies:
            self._controller_dies()
            return None

    def _controller_begins(self) -> None:
        controller = self._guarded(lambda: Controller(self.world))
        if controller is None:
            self.world.at(0.5, self._controller_begins)
            return
        self.world.controller = controller
        self._controller_turn(controller)

    def _controller_turn(self, controller: Controller) -> None:
        if self.world.controller is controller and controller.alive:
            self._guarded(controller.turn)
            if controller.alive:
                state = controller.state
                if controller.unseen or state.keeping or self.half_since_s:
                    controller.unseen = False
                    self._look(controller)
                self.world.at(TURN_S, partial(self._controller_turn, controller))

    def _controller_dies(self) -> None:
        controller = self.world.controller
        if controller is not None and controller.alive:
            controller.alive = False
            self.world.at(self.rng.choice((0.2, 1.0, 9.0)), self._controller_begins)

    def _crash(self) -> None:
        """Killed between any two messages; sometimes it only slept, and wakes up beside its successor."""
        sleeper = self.world.controller
        # One that ended by itself, as when its disk failed, is gone: only what was stopped can wake up.
        sleeps = sleeper is not None and sleeper.alive
        self._controller_dies()
        if sleeper is not None and sleeps and self.rng.random() < 0.5:

            def wake() -> None:
                sleeper.alive = True
                try:
                    sleeper.turn()
                except Dies:
                    pass
                sleeper.alive = False

            self.world.at(self.rng.random() * 15.0, wake)

    def _agent_turn(self, name: str) -> None:
        world = self.world
        world.agents[name].turn(
            world.now_s, lambda message: world.send(partial(self._deliver, name, message))
        )
        world.at(TURN_S, partial(self._agent_turn, name))

    def _deliver(self, name: str, message: Message) -> None:
        controller = self.world.controller
        if controller is not None and controller.alive:
            controller.inbox.append((name, message))

    def _node_death(self) -> None:
        agent = self.world.agents[self.rng.choice([*self.world.agents])]
        if agent.alive:
            agent.die()
            self.world.at(self.rng.choice((0.5, 3.0, 15.0)), lambda: self._revive(agent.node_id))

    def _revive(self, name: str) -> None:
        if not self.world.agents[name].alive:
            self.world.agents[name].come_back(self.world.now_s)
            controller = self.world.controller
            if controller is not None and controller.alive and not controller.state.is_lost(name):
                controller.greet(name)

    def _meddle(self) -> None:
        """A person cancels, pauses, resumes, moves, drains."""
        controller = self.world.controller
        if controller is None or not controller.alive or not controller.state.jobs:
            return
        job_id = self.rng.choice([*controller.state.jobs])
        task_id = self.rng.choice(controller.state.jobs[job_id].task_ids())
        node_id = self.rng.choice([*self.world.agents])
        order: Event = self.rng.choice(
            (
                CancelOrdered(job_id=job_id),
                PauseOrdered(job_id=job_id),
                ResumeOrdered(job_id=job_id),
                MoveOrdered(task_id=task_id, target=None, reason="a person"),
                self._move(controller, task_id, node_id),
                NodeCordoned(node_id=node_id, reason="a person"),
                NodeUncordoned(node_id=node_id),
            )
        )
        if isinstance(order, CancelOrdered):
            self.meddled[job_id] = None
        self._guarded(lambda: controller.order(order))

    def _move(self, controller: Controller, task_id: str, node_id: str) -> Event:
        task = controller.state.tasks[task_id]
        free = controller.planning.table.cpu_free[controller.planning.table.row_of[node_id]]
        fits = free >= controller.state.jobs[task.job_id].specification.demand.cpu_cores * 1000
        return MoveOrdered(task_id=task_id, target=Seat(node_id) if fits else None, reason="a person")

    def _calm_down(self) -> None:
        """Faults cease, and people undo what they did."""
        world = self.world
        world.calm = True
        for name in world.agents:
            self._revive(name)
        if world.controller is None or not world.controller.alive:
            # Its successor was due already, or is now.
            world.run_until(world.now_s + 10.0)
        controller = world.controller
        if controller is None:
            raise Violation("no controller came back")
        for name in world.agents:
            self._guarded(partial(controller.order, NodeUncordoned(node_id=name)))
        for job_id in [*controller.state.jobs]:
            self._guarded(partial(controller.order, ResumeOrdered(job_id=job_id)))

    # --- what must hold -----------------------------------------------------------------------------------

    def _look(self, controller: Controller) -> None:
        """After a turn in which a record changed, or while something waits that may not wait for long."""
        state, table = controller.state, controller.planning.table
        for task in state.tasks.values():
            if task.epoch < self.epochs.get(task.task_id, 0):
                raise Violation(f"the epoch of {task.task_id} fell to {task.epoch}")
            self.epochs[task.task_id] = task.epoch
            if task.holds_a_place != (task.seat is not None):
                raise Violation(f"{task.task_id} is {task.state} with seat {task.seat}")
            self._look_at_claim(controller, task)
            held = table.reservations.get(task.task_id)
            node_id = task.kept.node_id if task.kept is not None else task.node_id
            if (held.node_id if held else "") != node_id:
                raise Violation(f"{task.task_id} sits on {node_id!r}, the planner holds {held}")
        for job in state.jobs.values():
            if job.specification.gang:
                members = state.tasks_of(job.job_id)[: job.specification.tasks]
                seated = sum(member.holds_a_place for member in members)
                done = sum(member.state is TaskState.DONE for member in members)
                if 0 < seated < len(members) - done:
                    since_s = self.half_since_s.setdefault(job.job_id, self.world.now_s)
                    if self.world.now_s - since_s > HALF_PLACED_LIMIT_S:
                        raise Violation(f"gang {job.job_id} is half placed since {since_s:.1f} s")
                else:
                    self.half_since_s.pop(job.job_id, None)

    def _look_at_claim(self, controller: Controller, task: TaskRecord) -> None:
        """Only what waits keeps a place, in a gang that says so, and not for ever."""
        if task.kept is None:
            return
        keep_s = controller.state.jobs[task.job_id].specification.keep_claim_s
        if task.state is not TaskState.QUEUED or not keep_s or task.is_reduce:
            raise Violation(f"{task.task_id} keeps {task.kept} and is {task.state}")
        over_s = controller.now_s() - task.kept_until_s
        if over_s > KEPT_TOO_LONG_S or over_s < -keep_s - 1e-6:
            raise Violation(f"{task.task_id} keeps {task.kept} {over_s:.1f} s beyond its time")

    def _is_over(self) -> bool:
        controller = self.world.controller
        return (
            controller is not None
            and len(self.keys) == len(self.wanted)
            and not any(controller.state.open_tasks.values())
            and not self.world.places
        )

    def _judge(self) -> None:
        """At the end."""
        controller = self.world.controller
        if controller is None or not controller.alive:
            raise Violation("no controller lives at the end")
        state = controller.state
        forgotten = self.world.disk.forgotten
        known = len(state.jobs) + len({task.job_id for task in forgotten})
        if len(self.keys) < len(self.wanted) or known != len(self.wanted):
            raise Violation(f"{len(self.wanted)} jobs were submitted, {known} are known")
        for task in (*forgotten, *state.tasks.values()):
            if not task.is_final:
                raise Violation(f"{task.task_id} is {task.state} at the end: {task.reason}")
            if task.state is TaskState.DONE and not self.world.finished.get(task.task_id):
                raise Violation(f"{task.task_id} is recorded as done and never finished")
            if task.state is not TaskState.DONE and task.job_id not in self.meddled:
                raise Violation(f"{task.task_id} is {task.state} though nobody meddled: {task.reason}")
        if self.world.places:
            raise Violation(f"{self.world.places} run on at the end")
