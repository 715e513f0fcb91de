"""What ran where and when, for a picture: from the journal's last changes and what runs now.

An attempt is one bar, from when a node was given to it until it left that node. What began before the
changes that are looked at began, is drawn from the beginning of the window. Cost: one query of the journal by
its key, linear in `CHANGES`.
"""

import time
from collections.abc import Iterable
from typing import Any

from steelyard.jobs.service import JobsService
from steelyard.model.job_record import HOLDS_A_PLACE, TaskState, Transition

CHANGES = 10_000
MAX_BARS = 400
DEFAULT_WINDOW_S, MAX_WINDOW_S = 600.0, 7 * 86400.0
_HOLDING = tuple(sorted(str(state) for state in HOLDS_A_PLACE))


def gantt_view(service: JobsService, call: dict[str, Any]) -> dict[str, Any]:
    """Bars of the last `window_s` seconds, the newest `MAX_BARS` of them, in order of their beginning.

    A bar: task, job, node, from_wall_s, to_wall_s (null while it holds its place), became.
    """
    now_wall_s, now_s = time.time(), service.now_s()
    window_s = min(MAX_WINDOW_S, max(1.0, float(call.get("window_s") or DEFAULT_WINDOW_S)))
    begin_s = now_wall_s - window_s
    bars = bars_of(service.journal.recent(CHANGES, _HOLDING), begin_s)
    known = {bar["task"] for bar in bars if bar["to_wall_s"] is None}
    for task_id in [*service.state.by_state[TaskState.RUNNING]][: 2 * MAX_BARS]:
        task = service.state.tasks[task_id]
        if task_id not in known and task.started_s is not None:
            began_s = now_wall_s - (now_s - task.started_s)
            bars.append(_bar(task_id, task.job_id, task.node_id, max(begin_s, began_s)))
    bars = [bar for bar in bars if bar["to_wall_s"] is None or bar["to_wall_s"] > begin_s]
    bars.sort(key=lambda bar: (bar["from_wall_s"], bar["task"]))
    return {"bars": bars[-MAX_BARS:], "left": max(0, len(bars) - MAX_BARS), "now_wall_s": now_wall_s}


def bars_of(changes: Iterable[tuple[float, Transition]], begin_s: float) -> list[dict[str, Any]]:
    """Changes, oldest first, each with its wall time, to bars."""
    bars: list[dict[str, Any]] = []
    open_bars: dict[str, dict[str, Any]] = {}
    for wall_s, change in changes:
        holds, bar = change.after in _HOLDING, open_bars.get(change.task_id)
        if bar is None and not holds and change.before in _HOLDING:
            bar = _bar(change.task_id, change.job_id, change.node_id, begin_s)
            bars.append(bar)
            open_bars[change.task_id] = bar
        if bar is not None and (not holds or bar["node"] != change.node_id):
            bar["to_wall_s"], bar["became"] = wall_s, change.after
            del open_bars[change.task_id]
            bar = None
        if bar is None and holds:
            bar = open_bars[change.task_id] = _bar(change.task_id, change.job_id, change.node_id, wall_s)
            bars.append(bar)
    return bars


def _bar(task_id: str, job_id: str, node_id: str, from_wall_s: float) -> dict[str, Any]:
    return {
        "task": task_id,
        "job": job_id,
        "node": node_id,
        "from_wall_s": from_wall_s,
        "to_wall_s": None,
        "became": "",
    }
