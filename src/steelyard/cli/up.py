"""`steelyard up`: run the jobs service."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import click

from steelyard.cli.jobs_argument import with_state
from steelyard.cli.up_console import start_console
from steelyard.cluster.node_load import LoadRules
from steelyard.config.job_plugins import make_ordering, make_placement, make_rebalancing
from steelyard.jobs.client import JobsClient, NoService, state_folder
from steelyard.jobs.declared_nodes import checked, parse_node, read_nodes, this_machine
from steelyard.jobs.declared_quotas import read_quotas
from steelyard.jobs.declared_service import read_settings
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.executors.ray import RayExecutor
from steelyard.jobs.executors.slurm import SlurmExecutor
from steelyard.jobs.running import MakeExecutor, local_executor, run_service
from steelyard.model.errors import ConfigError
from steelyard.policies.ordering.registry import DEFAULT_ORDERING
from steelyard.policies.rebalancing.registry import DEFAULT_REBALANCING
from steelyard.policies.settings import PlacementSettings
from steelyard.scheduling.options import BACKFILLS, PlanOptions

DEFAULT_PLACEMENT = "min-load"  # live load, as the seed has it; for GPU clusters see `--placement`
DETACHED_WAIT_S = 15.0


@click.command()
@with_state
@click.option(
    "--config",
    "settings",
    type=click.Path(path_type=Path),
    help="A TOML file of [[nodes]], [tenants.NAME] and [retention]; else jobs.toml of the state folder.",
)
@click.option("--nodes", type=click.Path(path_type=Path), help="A TOML file of [[nodes]].")
@click.option(
    "--node", "named", multiple=True, metavar="NAME:cpu_cores=2,memory=4GiB", help="A node; may be repeated."
)
@click.option("--executor", type=click.Choice(["local", "ray", "slurm"]), default="local", show_default=True)
@click.option("--address", default="", help="Of the Ray cluster.")
@click.option("--placement", metavar="NAME", default=DEFAULT_PLACEMENT, show_default=True)
@click.option("--ordering", metavar="NAME", default=DEFAULT_ORDERING, show_default=True)
@click.option("--backfill", type=click.Choice(BACKFILLS), default="easy", show_default=True)
@click.option("--rebalancing", metavar="NAME", default=DEFAULT_REBALANCING, show_default=True)
@click.option(
    "--smoothing",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Seconds over which measured load is averaged.",
)
@click.option("--headroom", is_flag=True, help="Keep 10 % of memory, 20 % of disk and network free.")
@click.option("--quotas", type=click.Path(path_type=Path), help="A TOML file of [tenants.NAME] tables.")
@click.option("--standby", is_flag=True, help="Take over when the running service ends or dies.")
@click.option("--console", metavar="HOST:PORT", help="Web pages of jobs and nodes, on loopback.")
@click.option("--detach", is_flag=True, help="Run in the background.")
def up(
    state: Path | None,
    settings: Path | None,
    nodes: Path | None,
    named: tuple[str, ...],
    executor: str,
    address: str,
    placement: str,
    ordering: str,
    backfill: str,
    rebalancing: str,
    smoothing: float,
    headroom: bool,
    quotas: Path | None,
    standby: bool,
    console: str | None,
    detach: bool,
) -> None:
    """Run the jobs service: by default one node, this machine, with processes of its own.

    SIGTERM or Ctrl-C ends the service and leaves tasks running: the next `up` goes on with them.
    """
    folder = state_folder(state)
    if detach:
        _detach(folder)
        return
    declared = read_settings(settings, folder)
    options = PlanOptions(
        ordering=make_ordering(ordering),
        placement=make_placement(placement, PlacementSettings(rng=Random(0))),
        backfill=backfill,
        rebalancing=make_rebalancing(rebalancing),
        quotas=read_quotas(quotas) if quotas is not None else declared.quotas,
    )
    make_executor = _executor(executor, nodes, named, address, declared.nodes)
    load = LoadRules(time_constant_s=smoothing)
    if console is not None:
        folder.mkdir(parents=True, exist_ok=True)
        start_console(console, folder)
    sys.exit(
        run_service(
            folder,
            make_executor,
            options,
            load=load,
            headroom=headroom,
            standby=standby,
            retention=declared.retention,
        )
    )


def _executor(
    name: str, nodes: Path | None, named: tuple[str, ...], address: str, declared: list[LocalNode]
) -> MakeExecutor:
    if name == "local":
        return local_executor(_local_nodes(nodes, named) or declared or this_machine())
    if nodes or named or declared:
        raise ConfigError(
            f"--nodes, --node and [[nodes]] are for the local executor: {name} knows its own nodes"
        )
    if name == "ray":
        if not address:
            raise ConfigError("--executor ray needs --address HOST:PORT, of the head of the Ray cluster")
        # Ray may live in another environment than this one: steelyard must be installed there too.
        python = os.environ.get("STEELYARD_RAY_PYTHON", sys.executable)
        return lambda folder, term: RayExecutor(
            address, term, python=python, log_path=str(folder / "ray.log")
        )
    return lambda folder, term: SlurmExecutor(folder / "slurm", term)


def _local_nodes(path: Path | None, named: tuple[str, ...]) -> list[LocalNode]:
    nodes = read_nodes(path) if path is not None else []
    nodes += [parse_node(text) for text in named]
    return checked(nodes) if nodes else []


def _detach(folder: Path) -> None:
    """Start the same command in the background, and wait until it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [each for each in sys.argv[1:] if each != "--detach"]
    with (folder / "service.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "steelyard", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline_s = time.monotonic() + DETACHED_WAIT_S
    while time.monotonic() < deadline_s and child.poll() is None:
        with suppress(NoService):
            if JobsClient(folder).ask("status")["process"] == child.pid:
                print(f"jobs service {child.pid} runs; its log is {folder / 'service.log'}")
                return
        time.sleep(0.05)
    raise ConfigError(f"the service did not start: see {folder / 'service.log'}")
