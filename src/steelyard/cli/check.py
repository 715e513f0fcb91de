"""`steelyard check`: read a configuration file and say what it would do."""

from pathlib import Path

import click

from steelyard.config.load import load_file


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a configuration FILE and say what it would do."""
    configuration = load_file(file)
    where = f"{configuration.workers} workers on {configuration.listen}, admin on {configuration.admin}"
    click.echo(f"{file} is good: {where}")
    for pool in configuration.pools:
        names = ", ".join(replica.name for replica in pool.replicas)
        shadow = f", {pool.shadow} as its shadow" if pool.shadow else ""
        click.echo(f"  pool {pool.name} ({pool.kind}, {pool.policy}{shadow}): {names}")
    for route in configuration.routes:
        click.echo(f"  {route.host or 'any host'} {route.path_prefix} -> {route.pool}")
