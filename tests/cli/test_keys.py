"""`steelyard keys` and `steelyard audit` as an operator meets them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from steelyard.cli.audit import audit
from steelyard.cli.keys import keys
from steelyard.model.errors import ConfigError


def write(tmp_path: Path) -> Path:
    path = tmp_path / "steelyard.toml"
    path.write_text(
        f"""
        [keys]
        file = "{tmp_path}/keys.json"
        [admin_access]
        audit_log = "{tmp_path}/audit.log"
        [[tenants]]
        name = "search"
        [[pools]]
        [[pools.replicas]]
        url = "http://127.0.0.1:9"
        """
    )
    return path


def test_add_list_revoke_and_their_audit(tmp_path: Path) -> None:
    path, runner = write(tmp_path), CliRunner()
    made = runner.invoke(keys, ["add", "search", "--config", str(path)])
    assert made.exit_code == 0
    key = made.stdout.strip()
    key_id = key.split("-")[2]
    assert "valid" in runner.invoke(keys, ["list", "--config", str(path)]).stdout
    assert runner.invoke(keys, ["revoke", key_id, "--config", str(path)]).exit_code == 0
    listed = runner.invoke(keys, ["list", "--config", str(path)]).stdout
    assert "revoked" in listed
    assert key not in listed
    assert "2 lines" in runner.invoke(audit, [str(tmp_path / "audit.log")]).stdout
    assert key[-24:] not in (tmp_path / "audit.log").read_text()


def test_a_tenant_that_is_not_configured_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(keys, ["add", "serch", "--config", str(write(tmp_path))])
    assert isinstance(result.exception, ConfigError)
    assert "tenants are search" in str(result.exception)


@pytest.mark.parametrize("command", [["list"], ["add", "search"], ["revoke", "x"]])
def test_a_configuration_without_a_key_file_is_refused(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "plain.toml"
    path.write_text('[[pools]]\n[[pools.replicas]]\nurl = "http://127.0.0.1:9"\n')
    result = CliRunner().invoke(keys, [*command, "--config", str(path)])
    assert isinstance(result.exception, ConfigError)
    assert "has no [keys] file" in str(result.exception)
