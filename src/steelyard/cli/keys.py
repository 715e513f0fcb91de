"""`steelyard keys`: make, list and revoke API keys."""

import getpass
import time
from pathlib import Path

import click

from steelyard.cli.jobs_argument import print_json, with_json
from steelyard.config.access import KeyOptions
from steelyard.config.load import load_file
from steelyard.config.schema import Configuration
from steelyard.gateway.keys import add_key, list_keys, revoke_key
from steelyard.model.errors import ConfigError
from steelyard.runtime.audit_log import AuditLog

CONFIGURATION = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    default=Path("steelyard.toml"),
    show_default=True,
    help="The configuration file that names the key file.",
)


@click.group()
def keys() -> None:
    """Make, list and revoke the API keys of tenants."""


def _configured(file: Path) -> tuple[Configuration, KeyOptions]:
    configuration = load_file(file)
    if not configuration.keys.file:
        raise ConfigError(f"{file} has no [keys] file: name one, such as file = '/etc/steelyard/keys.json'")
    return configuration, configuration.keys


def _audit(configuration: Configuration, what: str, detail: str) -> None:
    if configuration.admin_access.audit_log:
        AuditLog(Path(configuration.admin_access.audit_log)).append(getpass.getuser(), what, detail)


@keys.command(short_help="Make a key for TENANT and print it.")
@click.argument("tenant")
@click.option("--days", type=click.IntRange(min=1), help="Let it expire after so many days.")
@CONFIGURATION
def add(tenant: str, days: int | None, file: Path) -> None:
    """Make a key for TENANT and print it: it is kept nowhere and cannot be shown again."""
    configuration, options = _configured(file)
    known = [each.name for each in configuration.tenants]
    if tenant not in known:
        raise ConfigError(f"there is no tenant {tenant[:80]!r} in {file}: tenants are {', '.join(known)}")
    now_s = int(time.time())
    key_id, key = add_key(options, tenant, now_s, now_s + days * 86_400 if days else 0)
    _audit(configuration, "keys add", f"{key_id} for {tenant}")
    click.echo(key)
    click.echo(f"This is the only time it is shown. Its id, for `steelyard keys revoke`: {key_id}", err=True)


@keys.command("list")
@CONFIGURATION
@with_json
def list_(file: Path, as_json: bool) -> None:
    """List all keys by id, with tenant and state."""
    _, options = _configured(file)
    now_s = time.time()
    rows = []
    for key in list_keys(options):
        state = "valid" if key.valid(now_s) else "revoked" if key.revoked_s else "expired"
        made = time.strftime("%Y-%m-%d", time.gmtime(key.created_s))
        rows.append({"id": key.id, "state": state, "created": made, "tenant": key.tenant})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['id']}  {row['state']:<8} {row['created']}  {row['tenant']}")


@keys.command(short_help="Make the key with this ID useless.")
@click.argument("key_id", metavar="ID")
@CONFIGURATION
def revoke(key_id: str, file: Path) -> None:
    """Make the key with this ID useless; running gateways notice within a second."""
    configuration, options = _configured(file)
    key = revoke_key(options, key_id, int(time.time()))
    _audit(configuration, "keys revoke", f"{key.id} of {key.tenant}")
    click.echo(f"{key.id} of {key.tenant} is revoked")
