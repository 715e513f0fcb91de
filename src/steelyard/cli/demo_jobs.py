"""`steelyard demo jobs`: the seed's case with real processes."""

import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from steelyard.cli import exit_codes
from steelyard.cli.finite import FiniteRange
from steelyard.cli.terminal import console, listing
from steelyard.demo.seed_case import NODE_LOADS, TASKS
from steelyard.demo.seed_jobs import Scene, SeedDemo
from steelyard.reports.page import document, table
from steelyard.reports.timeline import Bar, Mark, curves, gantt


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/demo"), show_default=True)
@click.option(
    "--hour",
    "hour_s",
    type=FiniteRange(min=6, max=600),
    default=12.0,
    show_default=True,
    help="Seconds that an hour of the seed takes.",
)
def jobs(out: Path, hour_s: float) -> None:
    """Watch ten tasks on five nodes: placed by load, one moved off a hot node, one saved from a dead one."""
    terminal = console()
    out.mkdir(parents=True, exist_ok=True)  # what cannot be is said before a minute of demo
    began_s = time.monotonic()

    def say(sentence: str) -> None:
        terminal.print(Text(f"{time.monotonic() - began_s:5.1f} s", style="dim"), f" {sentence}")

    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        demo = SeedDemo(Path(folder) / "state", hour_s, say)
        before = signal.signal(signal.SIGTERM, _leave)  # one that is ended ends what it started
        try:
            demo.play()
        finally:
            signal.signal(signal.SIGTERM, before)
    _print(terminal, demo)
    page = _write(out / "jobs.html", demo)
    terminal.print(f"report with the timeline: {page}")
    lost = [name for name, view in demo.timelines.items() if view["state"] != "done"]
    sys.exit(exit_codes.FAILED if lost else exit_codes.DONE)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _print(terminal: Console, demo: SeedDemo) -> None:
    terminal.print(_as_table("S: measured CPU and memory, share of the node", *_loads(demo)))
    terminal.print(_as_table("T and A: where each task ran", *_tasks(demo)))
    terminal.print(_as_table("utilisation ΣS/(n·max S) and balance degree Σ(S−mean)²/n", *_measures(demo)))
    for name, text in demo.logs.items():
        terminal.print(f"what {name} wrote:")
        for line in text.splitlines():
            terminal.print(f"  {line}")


def _as_table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    made = listing(*columns, title=title)
    for row in rows:
        made.add_row(*row)
    return made


def _loads(demo: SeedDemo) -> tuple[list[str], list[list[str]]]:
    columns = ["node", "the seed's", *(scene.title for scene in demo.scenes)]
    return columns, [
        [node, f"{cpu:.0%} {memory:.0%}", *(_load(scene, node) for scene in demo.scenes)]
        for node, (cpu, memory) in NODE_LOADS.items()
    ]


def _load(scene: Scene, node: str) -> str:
    return f"{scene.cpu[node]:.0%} {scene.memory[node]:.0%}" if node in scene.cpu else "lost"


def _tasks(demo: SeedDemo) -> tuple[list[str], list[list[str]]]:
    placed = next(scene for scene in demo.scenes if scene.title == "placed")
    columns = ["task", "size", "time", "the article's", "placed", "ran on", "attempts", "ended"]
    rows = []
    for task in TASKS:
        view = demo.timelines[task.name]
        stays = [bar.node for bar in _bars(demo, task.name, view)]
        rows.append(
            [
                task.name,
                f"{task.size_mb:g} MB",
                f"{task.hours:g} h = {task.hours * demo.hour_s:.0f} s",
                task.article_node,
                placed.places.get(task.name, ""),
                " → ".join(stays),
                str(view["task_views"][0]["epoch"]),
                view["state"],
            ]
        )
    return columns, rows


def _measures(demo: SeedDemo) -> tuple[list[str], list[list[str]]]:
    rows = []
    for scene in demo.scenes:
        used, balance = scene.measures()
        tasks_used, tasks_balance = scene.task_measures()
        rows.append(
            [scene.title, f"{used:.3f}", f"{balance:.4f}", f"{tasks_used:.3f}", f"{tasks_balance:.2f}"]
        )
    columns = ["when", "CPU utilisation", "CPU balance degree", "tasks: utilisation", "balance degree"]
    return columns, rows


def _bars(demo: SeedDemo, name: str, view: dict[str, Any]) -> list[Bar]:
    """The stays of a task on nodes."""
    bars = []
    node, since_s = "", 0.0
    for each in view["timeline"]:
        at_s = each["wall_s"] - demo.began_wall_s
        if each["after"] == "running":
            node, since_s = each["node"], at_s
        elif each["before"] in ("running", "moving", "stopping") and node and each["after"] != "moving":
            bars.append(Bar(name, node, since_s, at_s, each["reason"]))
            node = ""
    return bars


def _write(path: Path, demo: SeedDemo) -> Path:
    bars = [bar for name, view in demo.timelines.items() for bar in _bars(demo, name, view)]
    marks = []
    for name, words in (("T1", "D is hot: T1 moves"), ("T5", "A dies: T5 to its backup")):
        stays = _bars(demo, name, demo.timelines[name])
        marks.append(Mark(stays[0].end_s, words))
    rows = [task.name for task in TASKS]
    nodes = [*NODE_LOADS]
    matrix = [[name, *map(str, row)] for name, row in zip(rows, demo.scenes[1].assignment.rows, strict=True)]
    reasons = [
        [
            each["task"],
            name,
            f"{each['wall_s'] - demo.began_wall_s:.1f} s",
            each["after"],
            each["node"],
            each["reason"],
        ]
        for name, view in demo.timelines.items()
        for each in view["timeline"]
    ]
    return document(
        path,
        "steelyard demo: the seed's case",
        "",
        [
            ("Tasks on nodes", gantt(rows, nodes, bars, marks)),
            ("Measured CPU of each node", curves(nodes, demo.samples)),
            ("S", table(*_loads(demo))),
            ("T and where they ran", table(*_tasks(demo), figures=False)),
            ("A, as placed", table(["task", *nodes], matrix)),
            ("Utilisation and balance degree", table(*_measures(demo))),
            (
                "Every change with its reason",
                table(["id", "task", "at", "became", "node", "because"], reasons, figures=False),
            ),
        ],
    )
