"""What the verbs of the jobs plane share: where the service is, and how answers are printed."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from steelyard.jobs.client import JobsClient
from steelyard.model.errors import BadRequest

Command = TypeVar("Command", bound=Callable[..., Any])


def with_state(command: Command) -> Command:
    """The option --state."""
    return click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        help="The service's folder; else STEELYARD_STATE, else ~/.local/state/steelyard.",
    )(command)


def with_json(command: Command) -> Command:
    """The option --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def shown(value: Any) -> Any:
    """An answer for a terminal: what others named must not move its cursor or colour its text."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_shown, value))
    if isinstance(value, dict):
        return {name: shown(each) for name, each in value.items()}
    return [shown(each) for each in value] if isinstance(value, list) else value


def _shown(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def client_of(state: Path | None) -> JobsClient:
    """A client; it connects when asked something."""
    return JobsClient(state)


def order_each(state: Path | None, op: str, job_ids: Sequence[str]) -> None:
    """Order it for each job and print what became of it. Raises BadRequest at the end, for those refused."""
    client, refused = client_of(state), list[str]()
    for job_id in job_ids:
        try:
            client.ask(op, job=job_id)
            print(f"job {job_id}: {client.ask('job', job=job_id)['state']}")
        except BadRequest as error:
            refused.append(str(error))
    if refused:
        raise BadRequest("; ".join(refused))


def without_status(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer of the service without the word of its protocol: it came, so it is 200."""
    return {name: value for name, value in answer.items() if name != "status"}


def print_json(value: object) -> None:
    """For other programs."""
    print(json.dumps(value, indent=2))


def ago(wall_s: float) -> str:
    """How long ago, in one unit."""
    return span(max(0.0, time.time() - wall_s))


def span(seconds: float) -> str:
    """A time in one unit."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds >= 10 else f"{seconds:.1f}s"


def amount(size_bytes: float) -> str:
    """Bytes, readable."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes:.0f} B"
