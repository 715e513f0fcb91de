"""One job: its tasks, why they wait, its timeline, and what a task writes."""

from typing import Any

from steelyard.console.asked_jobs import NoJobs
from steelyard.console.gantt import MAX_ROWS, Bar, rows, ticks
from steelyard.console.page import Context, Page, Query
from steelyard.console.watch import Watch
from steelyard.model.errors import SteelyardError
from steelyard.model.job_record import FINAL, HOLDS_A_PLACE

TASKS = 100
CHANGES = 40
LOG_TAIL_BYTES = 16_384
_OVER = frozenset(str(state) for state in FINAL)
_HOLDING = frozenset(str(state) for state in HOLDS_A_PLACE)


async def context(watch: Watch, query: Query) -> Context:
    """Everything that `steelyard job ID` says, drawn."""
    job_id = query.text("id")[:200]
    try:
        job = await watch.jobs.ask("job", job=job_id)
        nodes = [node["node"] for node in (await watch.jobs.ask("nodes"))["nodes"] if node["state"] != "lost"]
    except (NoJobs, SteelyardError) as error:
        known = not isinstance(error, NoJobs)
        return {"job": None, "missing": str(error), "job_id": job_id, "task_id": "", "service": known}
    tasks, places = job["task_views"], {task["task"]: task["node"] for task in job["task_views"]}
    task_id = query.text("task") if query.text("task") in places else (tasks[0]["task"] if tasks else "")
    return {
        "job": job,
        "job_id": job_id,
        "missing": "",
        "task_id": task_id,
        "nodes": [node for node in nodes if node != places.get(task_id)],
        "tasks": tasks[:TASKS],
        "tasks_left": max(0, job["tasks"] - TASKS),
        "changes": list(reversed(job["timeline"][-CHANGES:])),
        "over": job["state"] in _OVER,
        "log_text": await _log_tail(watch, task_id, query),
        **_timeline(job, watch.now_s()),
    }


async def _log_tail(watch: Watch, task_id: str, query: Query) -> str:
    """The end of the log, for the page itself; what comes after it is the stream's business."""
    if not task_id or not query.is_page:
        return ""
    try:
        answer = await watch.jobs.ask("logs", task=task_id, offset=-LOG_TAIL_BYTES)
    except (NoJobs, SteelyardError):
        return ""
    return str(answer["text"])


def _timeline(job: dict[str, Any], now_s: float) -> Context:
    """A row a task, a bar for each state it was in."""
    changes = job["timeline"]
    begin_s = min([job["submitted_wall_s"], *(each["wall_s"] for each in changes)])
    end_s = changes[-1]["wall_s"] if changes and job["state"] in _OVER else now_s
    begin_s = min(begin_s, end_s - 1.0)
    by_task: dict[str, list[dict[str, Any]]] = {}
    for change in changes:
        by_task.setdefault(change["task"], []).append(change)
    names = [task["task"] for task in job["task_views"]][:MAX_ROWS]
    bars = []
    for name in names:
        mine = by_task.get(name, [])
        for change, following in zip(mine, [*mine[1:], None], strict=True):
            if change["after"] in _OVER:
                continue
            to_s = following["wall_s"] if following is not None else None
            place = f" on {change['node']}" if change["node"] and change["after"] in _HOLDING else ""
            bars.append(
                Bar(
                    row=name,
                    from_s=change["wall_s"],
                    to_s=to_s,
                    kind=change["after"],
                    title=f"{change['after']}{place}: {change['reason']}",
                )
            )
    window_s = end_s - begin_s
    return {"gantt": rows(bars, names, begin_s, end_s), "ticks": ticks(window_s), "window_s": window_s}


PAGE = Page("job", "Job", context, ("job_head", "job_tasks", "job_timeline"), log=True, listed=False)
