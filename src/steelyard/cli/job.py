"""`steelyard job`: all about one job."""

import time
from pathlib import Path
from typing import Any

import click

from steelyard.cli.jobs_argument import (
    client_of,
    print_json,
    shown,
    span,
    with_json,
    with_state,
    without_status,
)
from steelyard.cli.terminal import console, listing


@click.command()
@click.argument("job_id", metavar="JOB")
@with_state
@with_json
def job(job_id: str, state: Path | None, as_json: bool) -> None:
    """Show a job's tasks, why they wait, and its timeline with the reason of every change."""
    view = client_of(state).ask("job", job=job_id)
    if as_json:
        print_json(without_status(view))
        return
    view, terminal = shown(view), console()
    terminal.print(
        f"job {view['job']} ({view['name']}): {view['state']}, {view['done']}/{view['tasks']} done"
    )
    terminal.print(f"  command   {' '.join(view['command'])}")
    wants = ", ".join(f"{name} {value:g}" for name, value in view["demand"].items() if value)
    terminal.print(f"  wants     {wants or 'nothing in particular'}")
    if view["time_limit_s"]:
        terminal.print(f"  at most   {span(view['time_limit_s'])} of running a task")
    for each in view["task_views"][:50]:
        where = f" on {each['node']}" if each["node"] else ""
        where += f", place kept on {each['kept_on']}" if each["kept_on"] else ""
        terminal.print(
            f"  task {each['task']}  {each['state']}{where}, attempt {each['epoch']}, "
            f"ran {span(each['ran_s'])}{_setbacks(each)}"
        )
        if "waits" in each:
            terminal.print(f"    waits: {each['waits']['why']}")
            if each["waits"].get("feasible_in_s") is not None:
                terminal.print(f"    nearest feasible time: in {span(each['waits']['feasible_in_s'])}")
    timeline = listing("time", "task", "attempt", "node", "became", "because")
    for each in view["timeline"][-200:]:
        at = time.strftime("%H:%M:%S", time.localtime(each["wall_s"]))
        timeline.add_row(at, each["task"], str(each["epoch"]), each["node"], each["after"], each["reason"])
    terminal.print(timeline)


def _setbacks(task: dict[str, Any]) -> str:
    """What befell it; nothing in most lives."""
    counts = [(task["failures"], "failed"), (task["losses"], "lost"), (task["moves"], "moved")]
    return "".join(f", {count} {what}" for count, what in counts if count)
