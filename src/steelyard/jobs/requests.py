"""What may be asked of the jobs service, by name: it becomes an event, or is answered with a view."""

import os
from collections.abc import Callable
from typing import Any

import msgspec

from steelyard.jobs.acceptance import check_job, check_key
from steelyard.jobs.amounts import number_of
from steelyard.jobs.contract import log_path
from steelyard.jobs.gantt import gantt_view
from steelyard.jobs.log_text import begun_before, text_of
from steelyard.jobs.service import JobsService
from steelyard.jobs.views import View, cluster_view, job_row, job_view, node_row, tenant_rows
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
from steelyard.model.errors import BadRequest, ConfigError
from steelyard.model.job_specification import JobSpecification
from steelyard.scheduling.planning import unknown_node

Call = dict[str, Any]
LOG_PIECE_BYTES = 256 * 1024


def _text(call: Call, name: str) -> str:
    value = call.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{call.get('op')} needs {name}")
    return value


def _submit(service: JobsService, call: Call) -> Event:
    try:
        wanted = msgspec.convert(call.get("specification"), JobSpecification)
        key, wall_s = str(call.get("key") or ""), number_of(float(call.get("wall_s") or 0.0), "wall_s")
        check_job(wanted)
        check_key(key)
    except (msgspec.ValidationError, ConfigError) as error:
        raise BadRequest(f"this is no job: {error}") from None
    return Submitted(specification=wanted, key=key, wall_s=wall_s)


def _move(service: JobsService, call: Call) -> Event:
    task = service.state.known_task(_text(call, "task"))
    node_id = _text(call, "node")
    return MoveOrdered(
        task_id=task.task_id,
        target=service.planning.seat_on(task, node_id, service.now_s()),
        reason=f"a person wants it on {node_id}",
    )


def _drain(service: JobsService, call: Call) -> Event:
    node_id = _text(call, "node")
    if node_id not in service.watch.reports:
        raise unknown_node(node_id, service.watch.reports)
    if call.get("undo"):
        return NodeUncordoned(node_id=node_id)
    return NodeCordoned(node_id=node_id, reason=str(call.get("reason") or "drained by a person"))


ORDERS: dict[str, Callable[[JobsService, Call], Event]] = {
    "submit": _submit,
    "cancel": lambda service, call: CancelOrdered(job_id=_text(call, "job")),
    "pause": lambda service, call: PauseOrdered(job_id=_text(call, "job")),
    "resume": lambda service, call: ResumeOrdered(job_id=_text(call, "job")),
    "move": _move,
    "drain": _drain,
}


def _jobs(service: JobsService, call: Call) -> View:
    """The newest first, from `offset` on; those of a state, or whose id, name or user a text occurs in."""
    limit, offset = int(call.get("limit") or 100), max(0, int(call.get("offset") or 0))
    wanted, text = call.get("state"), str(call.get("text") or "").lower()
    rows: list[View] = []
    total = 0
    for job_id in reversed(service.state.jobs):
        job = service.state.jobs[job_id]
        if wanted and str(service.state.state_of(job_id)) != wanted:
            continue
        if text and text not in f"{job_id} {job.specification.name} {job.specification.user}".lower():
            continue
        total += 1
        if offset < total <= offset + limit:
            rows.append(job_row(service, job))
        elif total > offset and not wanted and not text:
            total = len(service.state.jobs)
            break
    states = {str(state): len(names) for state, names in service.state.by_state.items() if names}
    return {"jobs": rows, "total": total, "task_states": states, "tenants": tenant_rows(service)}


def _logs(service: JobsService, call: Call) -> View:
    """A piece of a task's output from an offset (below 0: from the end), and whether there can be more."""
    task = service.state.known_task(_text(call, "task"))
    offset = int(call.get("offset") or 0)
    text, here = "", True
    try:
        with log_path(service.folder, task).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            from_end = offset < 0
            offset = file.seek(max(0, size + offset) if from_end else offset)
            data = file.read(LOG_PIECE_BYTES)
            if from_end and offset:
                within = begun_before(data)
                offset, data = offset + within, data[within:]
            text, taken = text_of(data, complete=task.is_final and offset + len(data) >= size)
            offset += taken
    except FileNotFoundError:
        here = False
    return {
        "text": text,
        "offset": max(0, offset),
        "final": task.is_final,
        "state": str(task.state),
        "here": here,
        "epoch": task.epoch,
    }


def _nodes(service: JobsService, call: Call) -> View:
    nodes = [node_row(service, node_id) for node_id in service.watch.reports]
    return {"nodes": nodes, "tenants": tenant_rows(service)}


def _status(service: JobsService, call: Call) -> View:
    return {
        "process": os.getpid(),
        "term": service.journal.term,
        "folder": str(service.folder),
        "executor": service.executor.executor.name,
        "turns": service.turns,
        "broken_rounds": service.broken_rounds,
        "now_s": service.now_s(),
    }


VIEWS: dict[str, Callable[[JobsService, Call], View]] = {
    "jobs": _jobs,
    "job": lambda service, call: job_view(service, service.state.known_job(_text(call, "job"))),
    "logs": _logs,
    "nodes": _nodes,
    "gantt": gantt_view,
    "top": lambda service, call: cluster_view(service),
    "status": _status,
}
