"""`steelyard audit`: check that an audit log is whole."""

from pathlib import Path

import click

from steelyard.runtime.audit_log import verify


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def audit(file: Path) -> None:
    """Check the chain of hashes in an audit log FILE."""
    click.echo(f"{file} is whole: {verify(file)} lines")
