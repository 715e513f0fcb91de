"""Submitting from a file or from Python: names in `after` become jobs, keys make a repetition harmless."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steelyard.jobs.client import JobsClient
from steelyard.jobs.specification import from_table, read_jobs
from steelyard.model.errors import BadRequest, ConfigError
from steelyard.model.job_specification import JobSpecification


def submit_file(client: JobsClient, path: Path, key: str = "") -> dict[str, str]:
    """Submit the jobs of a file in order; name → job. With a key, each job's is KEY/NUMBER."""
    known: dict[str, str] = {}
    wanted = read_jobs(path)
    _check_order(client, path, wanted)
    for number, specification in enumerate(wanted):
        after = tuple(known.get(each, each) for each in specification.after)
        own_key = f"{key}/{number}" if key and len(wanted) > 1 else key
        name = specification.name if specification.name not in known else f"{specification.name}-{number}"
        known[name] = client.submit(replace(specification, after=after), own_key)
    return known


def _check_order(client: JobsClient, path: Path, wanted: Sequence[JobSpecification]) -> None:
    """Jobs wait for earlier ones, of the file or of the service: else nothing of it is submitted.

    Raises ConfigError; NoService when nobody can be asked.
    """
    for at, specification in enumerate(wanted):
        earlier = {each.name for each in wanted[:at]}
        later = {each.name for each in wanted[at:]}
        for name in specification.after:
            where = f"{path}: job {specification.name!r} is after {name!r}"
            if name in later - earlier:
                raise ConfigError(f"{where}, which is not before it in the file: put it further up")
            if name not in earlier:
                try:
                    client.ask("job", job=name)
                except BadRequest as error:
                    raise ConfigError(f"{where}: {error}") from None


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job that the service accepted."""

    job_id: str
    client: JobsClient

    @property
    def state(self) -> str:
        """Now: queued, running, done and so on."""
        return str(self.client.ask("job", job=self.job_id)["state"])

    def wait(self, timeout_s: float | None = None) -> str:
        """Wait for its end; its final state. Raises TimeoutError."""
        return self.client.wait(self.job_id, timeout_s)

    def cancel(self) -> None:
        """Make it leave for good."""
        self.client.ask("cancel", job=self.job_id)

    def log(self, task: int = 0) -> str:
        """All that a task has written so far."""
        text, offset = "", 0
        while True:
            answer = self.client.ask("logs", task=f"{self.job_id}.{task}", offset=offset)
            if not answer["text"]:
                return text
            text += answer["text"]
            offset = answer["offset"]


def _named(after: Any) -> Any:
    """Names of jobs, of one or of several, submitted or named."""
    if after is None:
        return []
    several = [after] if isinstance(after, str | SubmittedJob) else after
    if not isinstance(several, Iterable):
        return several  # refused with what it is
    return [each.job_id if isinstance(each, SubmittedJob) else each for each in several]


def submit(
    command: str | Sequence[str],
    *,
    state: str | Path | None = None,
    key: str = "",
    **options: Any,
) -> SubmittedJob:
    """Submit a job; `options` are the keys of a TOML file, `after` may be or hold submitted jobs.

    key: the same key again is the same job; without one, a call is safe to repeat only by hand.
    Raises ConfigError for options of no use, NoService when nobody answers.
    """
    table = {"command": command, **options, "after": _named(options.get("after"))}
    if isinstance(command, tuple):
        table["command"] = list(command)
    for name in ("working_directory", "checkpoint_directory"):
        if isinstance(options.get(name), Path):
            table[name] = str(options[name])
    client = JobsClient(Path(state) if state is not None else None)
    specification = from_table(table, Path.cwd())
    # An own key for each call, so that a connection that breaks in the middle can be tried again.
    return SubmittedJob(client.submit(specification, key or uuid.uuid4().hex), client)
