"""The real jobs service and journal over nodes without processes, crashed where a test says."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.harness.fake_executor import FakeExecutor, FakeNodes

from steelyard.config.job_plugins import make_ordering
from steelyard.jobs.service import JobsService, Request
from steelyard.model.controller_event import Action, Event, Submitted
from steelyard.model.errors import SteelyardError
from steelyard.model.job_record import TaskState
from steelyard.model.job_specification import JobSpecification
from steelyard.model.resources import Resources
from steelyard.policies.failure.suspicion import SuspicionRules
from steelyard.policies.placement.first_fit import FirstFit
from steelyard.policies.settings import PlacementSettings
from steelyard.runtime.journal import Journal
from steelyard.scheduling.controller_state import Changes
from steelyard.scheduling.options import PlanOptions

RULES = SuspicionRules(suspect_after_s=0.3, lease_s=1.0, alive_patience_s=5.0)


class Crash(Exception):
    """The controller's process ends here, in the middle of what it does."""


class Cluster:
    """Nodes and a journal that outlive the services made on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = FakeNodes()
        self.services: list[JobsService] = []

    def service(self, journal: Journal | None = None) -> JobsService:
        """A controller that starts on what there is."""
        journal = journal or Journal(self.folder / "journal.sqlite")
        if not journal.term:
            assert journal.take_over(60.0)
        options = PlanOptions(
            ordering=make_ordering("fifo"),
            placement=FirstFit(PlacementSettings(rng=Random(0))),
            min_run_s=1e9,
        )
        service = JobsService(journal, FakeExecutor(self.nodes), options, self.folder, RULES)
        service.begin()
        self.services.append(service)
        return service

    def crash(self, service: JobsService) -> None:
        """It is gone: nothing is given up or said."""
        service.executor.end()
        service.journal.renew(0.0)  # as a dead process's lease: nobody has to wait for it
        service.journal.close()
        self.services.remove(service)

    def end(self) -> None:
        """Leave nothing behind."""
        for service in [*self.services]:
            service.executor.end()
            service.journal.close()

    def restarted(self, service: JobsService) -> JobsService:
        """Its successor."""
        self.crash(service)
        return self.service()


def ask(service: JobsService, event: Event) -> Changes:
    """One order of a person, answered by the next turn."""
    outcome: list[Changes | SteelyardError] = []
    service.inbox.put(Request(outcome.append, event=event))
    until(service, lambda: bool(outcome))
    if isinstance(outcome[0], SteelyardError):
        raise outcome[0]
    return outcome[0]


def until(service: JobsService, condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Let the service work until a condition holds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come"
        service.turn()


def crash_at(service: JobsService, monkeypatch: pytest.MonkeyPatch, kind: type[Action]) -> None:
    """Die after the record and before the first action of this kind."""
    perform = service._perform

    def dying(action: Action) -> None:
        if isinstance(action, kind):
            raise Crash
        perform(action)

    monkeypatch.setattr(service, "_perform", dying)


def work(**more: Any) -> JobSpecification:
    """A job."""
    more.setdefault("demand", Resources(cpu_cores=1))
    return JobSpecification(command=("work",), **more)


def submit(service: JobsService, key: str = "", **more: Any) -> str:
    """A job that runs when this returns."""
    job_id = ask(service, Submitted(specification=work(**more), key=key)).job_id
    until(service, lambda: all(task.state is TaskState.RUNNING for task in service.state.tasks_of(job_id)))
    return job_id


def state(service: JobsService, task_id: str) -> TaskState:
    return service.state.tasks[task_id].state
