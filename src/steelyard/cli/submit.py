"""`steelyard submit`: hand in jobs."""

import sys
from pathlib import Path

import click

from steelyard.cli import exit_codes
from steelyard.cli.finite import FiniteRange
from steelyard.cli.jobs_argument import client_of, print_json, shown, with_json, with_state
from steelyard.jobs.specification import from_table
from steelyard.jobs.submission import submit_file
from steelyard.model.errors import ConfigError


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("what", nargs=-1, required=True)
@with_state
@with_json
@click.option("--key", default="", help="The same key again is the same job, however often it is sent.")
@click.option("--name", default="", help="Of a job given as a command.")
@click.option("--cpu", "cpu_cores", type=FiniteRange(min=0), help="Cores, of a job given as a command.")
@click.option("--memory", default="", help="Such as 2GiB, of a job given as a command.")
@click.option("--gpus", type=FiniteRange(min=0), default=0.0, help="Of a job given as a command.")
@click.option("--wait", "wait_for_end", is_flag=True, help="Wait for the end; exit code 1 if it is not done.")
def submit(
    what: tuple[str, ...],
    state: Path | None,
    as_json: bool,
    key: str,
    name: str,
    cpu_cores: float | None,
    memory: str,
    gpus: float,
    wait_for_end: bool,
) -> None:
    """Submit the jobs of a TOML file, or a command after `--`.

    \b
    steelyard submit train.toml
    steelyard submit --cpu 2 -- python train.py
    """
    client = client_of(state)
    if len(what) == 1 and what[0].endswith(".toml"):
        if name or cpu_cores is not None or memory or gpus:
            raise ConfigError("--name, --cpu, --memory and --gpus are for commands: a file says it itself")
        jobs = submit_file(client, Path(what[0]), key)
    else:
        resources = {"gpus": gpus, "memory": memory or 0.0}
        if cpu_cores is not None:
            resources["cpu_cores"] = cpu_cores
        table = {"command": list(what), "resources": resources}
        if name:
            table["name"] = name
        job_id, is_new = client.submit_once(from_table(table, Path.cwd()), key)
        jobs = {name or Path(what[0]).name: job_id}
        if not is_new:
            note = f"steelyard: nothing new was submitted: job {job_id} was given this key before"
            print(note, file=sys.stderr)
    if as_json:
        print_json({"jobs": [{"name": each, "job": job_id} for each, job_id in jobs.items()]})
    else:
        for each, job_id in jobs.items():
            print(f"job {job_id} ({shown(each)})")
    if wait_for_end:
        states = [client.wait(job_id) for job_id in jobs.values()]
        sys.exit(exit_codes.DONE if all(each == "done" for each in states) else exit_codes.FAILED)
