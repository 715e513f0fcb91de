"""`steelyard check`: read a configuration file and say what it would do."""

from pathlib import Path

import click
import msgspec

from steelyard.cli.jobs_argument import print_json, with_json
from steelyard.config.load import load_file


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@with_json
def check(file: Path, as_json: bool) -> None:
    """Check a configuration FILE and say what it would do; with --json, all of it, defaults filled in."""
    configuration = load_file(file)
    if as_json:
        print_json(msgspec.to_builtins(configuration))
        return
    where = f"{configuration.workers} workers on {configuration.listen}, admin on {configuration.admin}"
    click.echo(f"{file} is good: {where}")
    for pool in configuration.pools:
        names = ", ".join(replica.name for replica in pool.replicas)
        shadow = f", {pool.shadow} as its shadow" if pool.shadow else ""
        click.echo(f"  pool {pool.name} ({pool.kind}, {pool.policy}{shadow}): {names}")
    for route in configuration.routes:
        click.echo(f"  {route.host or 'any host'} {route.path_prefix} -> {route.pool}")
