"""The queue, what ran where, and one line a job."""

from steelyard.console.asked_jobs import NoJobs
from steelyard.console.gantt import Bar, rows, ticks
from steelyard.console.page import Context, Page, Part, Query
from steelyard.console.watch import Watch
from steelyard.model.errors import SteelyardError
from steelyard.model.job_record import TaskState

ROWS = 50
WINDOWS = (("5 min", 300), ("30 min", 1800), ("3 h", 10_800), ("1 d", 86_400))
STATES = [str(state) for state in TaskState]


async def context(watch: Watch, query: Query) -> Context:
    """One part of the list, filtered by the service itself, and the nodes' timeline."""
    start, state, text = query.number("from", 0) // ROWS * ROWS, query.text("state"), query.text("q")[:200]
    window_s = query.number("window", 300, 10, 7 * 86_400)
    state = state if state in STATES else ""
    shared: Context = {"windows": WINDOWS, "window_s": window_s, "state": state}
    try:
        answer = await watch.jobs.ask("jobs", limit=ROWS, offset=start, state=state, text=text)
        nodes = [node["node"] for node in (await watch.jobs.ask("nodes"))["nodes"]]
        picture = await watch.jobs.ask("gantt", window_s=window_s)
    except (NoJobs, SteelyardError) as error:
        return {**shared, "missing": str(error), "part": Part([], 0, 0, ROWS), "states": {}, "gantt": []}
    end_s = picture["now_wall_s"]
    bars = [
        Bar(
            row=bar["node"],
            from_s=bar["from_wall_s"],
            to_s=bar["to_wall_s"],
            kind=bar["became"] or "running",
            title=bar["task"],
            job=bar["job"],
        )
        for bar in picture["bars"]
    ]
    return {
        **shared,
        "missing": "",
        "part": Part(answer["jobs"], answer["total"], start, ROWS),
        "states": answer["task_states"],
        "gantt": rows(bars, nodes, end_s - window_s, end_s),
        "gantt_left": picture["left"],
        "ticks": ticks(window_s),
        "now_s": end_s,
    }


PAGE = Page("jobs", "Jobs", context, ("job_counts", "job_gantt", "job_table"))
