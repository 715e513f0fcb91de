"""A cluster in virtual time with everything going wrong, round the real controller and planner.

What is simulated: the service's loop (record, then perform), its journal, the network, the agents, the
people. What is not: `scheduling.controller`, `scheduling.planning`, the planner and its policies. One
seed draws it all, so a failure is repeated by its seed. Time only moves from event to event. As in the
service, controller time goes on from the last record while the controller lives, and the wall clock, which
jumps by hours in both directions, only goes into records: who acts on it is found.

Source: deterministic simulation testing as FoundationDB (SIGMOD 2021) and TigerBeetle do it.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from steelyard.model.controller_event import (
    Acknowledge,
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptStarted,
    Event,
    NodeLost,
    NodeReturned,
    Recovered,
    Start,
    Stop,
    TimePassed,
)
from steelyard.model.errors import BadRequest
from steelyard.model.job_record import JobRecord, KeptKey, NodeRecord, TaskRecord
from steelyard.model.node import Node
from steelyard.model.resources import Resources
from steelyard.policies.ordering.priority import Priority
from steelyard.policies.placement.min_load import MinLoad
from steelyard.policies.settings import PlacementSettings
from steelyard.scheduling.controller import step
from steelyard.scheduling.controller_state import Changes, ControllerState
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.planning import Planning
from steelyard.scheduling.retention import RetentionRules, due
from steelyard.simulation.fault_plan import FaultPlan
from steelyard.simulation.jobs_agents import LEASE_S, Agent, Message

TURN_S = 0.5
NODE_CORES = 4.0
MESSAGE_S = 0.05


class DiskFull(Exception):
    """Nothing of the transaction was written."""


class Dies(Exception):
    """The controller's process ends here."""


@dataclass(slots=True)
class Disk:
    """The journal: what outlives the controller."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    term: int = 0
    now_s: float = 0.0
    wall_s: list[float] = field(default_factory=list)
    keys: dict[str, KeptKey] = field(default_factory=dict)
    next_job: int = 1
    forgotten: list[TaskRecord] = field(default_factory=list)

    def record(self, changes: list[Changes], now_s: float, wall_s: float) -> None:
        """One transaction."""
        self.now_s = now_s
        self.wall_s.append(wall_s)
        for each in changes:
            self.jobs.update(each.jobs)
            self.tasks.update(each.tasks)
            self.nodes.update(each.nodes)
            self.keys.update({name: key for name, key in each.kept_keys.items() if key is not None})
            for job_id in each.forgotten_jobs:
                self.next_job = max(self.next_job, int(job_id) + 1)
                self.forgotten += map(self.tasks.pop, self.jobs.pop(job_id).task_ids())


class World:
    """One run."""

    def __init__(self, seed: int, nodes: int = 3) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.faults = FaultPlan.draw(self.rng)
        self.calm = False
        self.now_s = 0.0
        self.wall_ahead_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.disk = Disk()
        self.places: dict[str, tuple[str, int]] = {}
        self.started: dict[tuple[str, int], str] = {}
        self.finished: dict[str, int] = {}
        self.agents = {
            name: Agent(name, self.rng, self.places, self.started, self.finished)
            for name in (f"n{index}" for index in range(nodes))
        }
        self.sessions = 0
        self.controller: Controller | None = None

    @property
    def wall_s(self) -> float:
        """What the wall clock shows."""
        return 1e9 + self.now_s + self.wall_ahead_s

    def jump(self) -> None:
        """Somebody sets the wall clock; sometimes it is set right."""
        self.wall_ahead_s = self.rng.choice((0.0, 3600.0, -3600.0, self.rng.uniform(-60.0, 60.0)))

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later; equal times in the order asked for."""
        self._count += 1
        heapq.heappush(self._events, (self.now_s + delay_s, self._count, action))

    def run_until(self, end_s: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= end_s:
            self.now_s, _, action = heapq.heappop(self._events)
            action()
        self.now_s = end_s

    def chance(self, probability: float) -> bool:
        """Whether a fault strikes; never once it is calm."""
        return not self.calm and self.rng.random() < probability

    def behaviour(self, task_id: str, epoch: int) -> tuple[float, int]:
        """How long an attempt takes and how it ends: the same however often it is asked."""
        rng = Random(f"{self.seed} {task_id} {epoch}")
        return rng.expovariate(1 / 5.0), 1 if rng.random() < 0.1 else 0

    def send(self, deliver: Callable[[], None]) -> None:
        """A message: lost, repeated, late, or in good order."""
        faults, draw = self.faults, self.rng.random
        if self.calm or not faults.loss:
            self.at(draw() * MESSAGE_S, deliver)
            return
        if draw() < faults.loss:
            return
        for _ in range(2 if draw() < faults.repetition else 1):
            delay_s = draw() * MESSAGE_S
            if draw() < faults.lateness:
                delay_s += draw() * faults.longest_delay_s
            self.at(delay_s, deliver)


class Controller:
    """The service's loop in virtual time; see `jobs.service` for the real one."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.disk.term += 1
        self.term = world.disk.term
        self.inbox: list[tuple[str, Message]] = []
        self.heard_s = dict.fromkeys(world.agents, world.now_s)
        self.sessions = dict.fromkeys(world.agents, 0)
        self.retention = RetentionRules(
            keep_jobs_s=world.faults.keep_jobs_s, keep_at_least_s=min(1.0, world.faults.keep_jobs_s)
        )
        self.options = PlanOptions(
            ordering=Priority(),
            placement=MinLoad(PlacementSettings(rng=world.rng)),
            min_run_s=5.0,
            # Sentences for people cost a tenth of a run: every eighth makes them.
            explain=world.seed % 8 == 0,
        )
        self.alive = True
        self.unseen = True
        self.returning: dict[str, None] = {}
        self._began_s, self._base_s = world.now_s, world.disk.now_s
        self.take_up()
        for name in world.agents:
            if not self.state.is_lost(name):
                self.greet(name)
        self.commit([step(self.state, Recovered(), self.now_s())])

    def now_s(self) -> float:
        """Controller time, as the service counts it: on from the last record."""
        return self._base_s + self.world.now_s - self._began_s

    def take_up(self) -> None:
        """From the disk."""
        disk = self.world.disk
        self.unseen = True
        self.state = ControllerState.of(
            sorted(disk.jobs.values(), key=lambda job: int(job.job_id)),
            sorted(disk.tasks.values(), key=lambda task: (int(task.job_id), task.index)),
            disk.nodes.values(),
            disk.keys.values(),
            disk.next_job,
        )
        self.planning = Planning(self.state, self.options)
        capacity = Resources(cpu_cores=NODE_CORES, memory_bytes=1e9)
        self.planning.know_nodes([Node(node_id=name, capacity=capacity) for name in self.world.agents])

    def greet(self, name: str) -> None:
        """Connect: what was sent over an earlier connection does not count any more."""
        self.world.sessions += 1
        self.sessions[name] = self.world.sessions
        live = {
            (task_id, self.state.tasks[task_id].epoch): None for task_id in self.state.on_node.get(name, ())
        }
        self.world.agents[name].hello(self.sessions[name], live)

    def turn(self) -> None:
        """As the service's: take in, record, perform; then plan, record, perform."""
        if not self.alive:
            return
        changes = []
        inbox, self.inbox = self.inbox, []
        for name, message in inbox:
            event = self.heard(name, message)
            if event is not None:
                changes.append(self.step(event))
        changes += [self.step(event) for event in self.verdicts()]
        changes.append(self.step(TimePassed()))
        if (forgotten := due(self.state, self.retention, self.now_s())) is not None:
            changes.append(self.step(forgotten))
        returning, self.returning = self.returning, {}
        if self.commit(changes):
            for name in returning:
                self.greet(name)
        if not len(self.planning.queue):
            return
        planned = []
        for event in self.planning.round(self.now_s()):
            try:
                planned.append(self.step(event))
            except BadRequest:
                continue
        self.commit(planned)

    def step(self, event: Event) -> Changes:
        """One event into the real machine."""
        changes = step(self.state, event, self.now_s())
        if changes.tasks:
            self.planning.follow(changes.tasks.values())
        if not changes.is_empty:
            self.unseen = True
        if changes.nodes:
            self.planning.judge_nodes()
        return changes

    def order(self, event: Event) -> Changes | None:
        """A person's order; None when it was not accepted."""
        try:
            changes = self.step(event)
        except BadRequest:
            return None
        return changes if self.commit([changes]) else None

    def commit(self, changes: list[Changes]) -> bool:
        """Record, then perform; False when the disk is full and nothing of it happened."""
        world = self.world
        if any(not each.is_empty for each in changes):
            if world.disk.term != self.term or world.chance(world.faults.disk_lost):
                raise Dies
            if world.chance(world.faults.disk_full):
                self.take_up()
                return False
            world.disk.record(changes, self.now_s(), world.wall_s)
        for each in changes:
            for action in each.actions:
                self.perform(action)
        return True

    def perform(self, action: Start | Stop | Acknowledge) -> None:
        """Send an order."""
        world, task_id, epoch = self.world, action.task_id, action.epoch
        if isinstance(action, Start):
            name = action.seat.node_id
            takes_s, code = world.behaviour(task_id, epoch)
            session, agent = self.sessions[name], world.agents[name]
            world.send(lambda: agent.start(session, task_id, epoch, takes_s, code, world.now_s))
            return
        node_id = action.node_id if isinstance(action, Stop) else ""
        for name in [node_id] if node_id else world.agents:
            self.send_end(name, action)

    def send_end(self, name: str, action: Stop | Acknowledge) -> None:
        """Send an order to stop, or to forget."""
        world, session, agent = self.world, self.sessions[name], self.world.agents[name]
        if isinstance(action, Stop):
            world.send(lambda: agent.stop(session, action.task_id, action.epoch, action.grace_s, world.now_s))
        else:
            world.send(lambda: agent.acknowledge(session, action.task_id, action.epoch))

    def heard(self, name: str, message: Message) -> Event | None:
        """A message of an agent as an event."""
        world = self.world
        kind = message.kind
        if kind == "alive":
            asked_s, agent = message.sent_s, world.agents[name]
            if self.state.is_lost(name):
                if world.now_s - asked_s > LEASE_S / 2:
                    return None  # an old one, from before it was judged lost
                self.heard_s[name] = world.now_s
                self.returning[name] = None
                return NodeReturned(node_id=name)
            self.heard_s[name] = world.now_s
            world.send(partial(agent.grant, asked_s))
            return None
        task_id, epoch = message.task_id, message.epoch
        if kind == "started":
            return AttemptStarted(task_id=task_id, epoch=epoch)
        if kind == "lost":
            return AttemptLost(task_id=task_id, epoch=epoch, reason="its node died")
        if kind == "refused":
            return AttemptRefused(task_id=task_id, epoch=epoch, reason="stopped before it started")
        return AttemptEnded(
            task_id=task_id, epoch=epoch, exit_code=message.exit_code, asked_to_stop=message.asked_to_stop
        )

    def verdicts(self) -> list[Event]:
        """Nodes that were silent for a lease."""
        return [
            NodeLost(node_id=name, reason="silent")
            for name, heard_s in self.heard_s.items()
            if self.world.now_s - heard_s > LEASE_S and not self.state.is_lost(name)
        ]
