"""`steelyard reload` and `steelyard upgrade`: have a running gateway change, over its admin port."""

import click

from steelyard.cli.admin_client import DEFAULT_ADMIN, tell_admin

ADMIN = click.option("--admin", default=DEFAULT_ADMIN, show_default=True, help="The gateway's admin port.")


@click.command()
@ADMIN
def reload(admin: str) -> None:
    """Let a running gateway take up its changed configuration file; nothing is lost."""
    said = tell_admin(admin, "reload")
    click.echo(f"generation {said['generation']} serves with workers {', '.join(map(str, said['workers']))}")


@click.command()
@ADMIN
def upgrade(admin: str) -> None:
    """Let the installed program take over from the running one; nothing is lost."""
    click.echo(f"process {tell_admin(admin, 'upgrade')['pid']} serves")
