"""`steelyard up`: run the jobs service."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import click
from click.core import ParameterSource

from steelyard.cli.finite import FiniteRange
from steelyard.cli.jobs_argument import with_state
from steelyard.cli.up_console import start_console
from steelyard.jobs.client import JobsClient, NoService, state_folder
from steelyard.jobs.declared_nodes import checked, parse_node, read_nodes
from steelyard.jobs.declared_quotas import read_quotas
from steelyard.jobs.declared_service import read_settings
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.running import WAITING, run_service
from steelyard.jobs.service_options import DEFAULT_PLACEMENT, ServiceOptions, Told
from steelyard.model.errors import ConfigError
from steelyard.policies.ordering.registry import DEFAULT_ORDERING
from steelyard.policies.rebalancing.registry import DEFAULT_REBALANCING
from steelyard.scheduling.options import BACKFILLS

DETACHED_WAIT_S = 15.0
PREFIX = "steelyard: "
IN_FILES = ("nodes", "quotas", "retention")


@click.command()
@click.pass_context
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
    "smoothing_s",
    type=FiniteRange(min=0),
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
    context: click.Context,
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
    smoothing_s: float,
    headroom: bool,
    quotas: Path | None,
    standby: bool,
    console: str | None,
    detach: bool,
) -> None:
    """Run the jobs service: by default one node, this machine, with processes of its own.

    SIGTERM or Ctrl-C ends the service and leaves tasks running: the next `up` goes on with them. A standby
    takes every option that it is not given from the service before it.
    """
    folder = state_folder(state)
    if detach:
        _detach(folder, standby)
        return
    declared = read_settings(settings, folder)
    options = ServiceOptions(
        executor=executor,
        address=address,
        nodes=_local_nodes(nodes, named) or declared.nodes,
        placement=placement,
        ordering=ordering,
        backfill=backfill,
        rebalancing=rebalancing,
        smoothing_s=smoothing_s,
        headroom=headroom,
        quotas=read_quotas(quotas) if quotas is not None else declared.quotas,
        retention=declared.retention,
    )
    told = Told(options, _said(context, options))
    if console is not None:
        folder.mkdir(parents=True, exist_ok=True)
        start_console(console, folder)
    sys.exit(run_service(folder, told, standby=standby))


def _said(context: click.Context, options: ServiceOptions) -> frozenset[str]:
    """The options that somebody said, on the command line or in a file; the others are defaults."""
    said = {
        name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    default = ServiceOptions()
    said |= {name for name in IN_FILES if getattr(options, name) != getattr(default, name)}
    return frozenset(said & set(ServiceOptions.__struct_fields__))


def _local_nodes(path: Path | None, named: tuple[str, ...]) -> list[LocalNode]:
    nodes = read_nodes(path) if path is not None else []
    nodes += [parse_node(text) for text in named]
    return checked(nodes) if nodes else []


def _detach(folder: Path, standby: bool) -> None:
    """Start the same command in the background, and wait until it answers, or stands by."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [each for each in sys.argv[1:] if each != "--detach"]
    log_path = folder / "service.log"
    with log_path.open("ab") as log:
        begin = log.tell()
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
                print(f"jobs service {child.pid} runs; its log is {log_path}")
                return
        if standby and WAITING.encode() in log_path.read_bytes()[begin:]:
            print(f"jobs service {child.pid} stands by; its log is {log_path}")
            return
        time.sleep(0.05)
    raise ConfigError(f"the service did not start: {_last_words(log_path, begin)}see {log_path}")


def _last_words(log_path: Path, begin: int) -> str:
    """The sentence with which a service ended, if it said one."""
    lines = log_path.read_bytes()[begin:].decode(errors="replace").splitlines()
    said = [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]
    return f"{said[-1]}; " if said else "it said nothing, so try without --detach; "
