"""A service as declared in a file: quotas that are seen and explained, and what it forgets."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.harness.jobs import jobs_service
from tests.harness.processes import wait_until

from steelyard.cli.main import steelyard
from steelyard.jobs.declared_service import FILE_NAME, ServiceSettings, read_settings
from steelyard.model.errors import BadRequest, ConfigError

SETTINGS = """
[[nodes]]
name = "A"
cpu_cores = 4
memory = "4GiB"
sample_interval = 0.3

[tenants.guests]
cpu_cores = 1
borrow = false

[retention]
finished = "1s"
at_least = "500ms"
keys = "1h"
"""


def test_everything_is_read_and_nothing_is_needed(tmp_path: Path) -> None:
    assert read_settings(None, tmp_path) == ServiceSettings()
    (tmp_path / FILE_NAME).write_text(SETTINGS)
    found = read_settings(None, tmp_path)
    assert [node.name for node in found.nodes] == ["A"]
    assert found.quotas["guests"].nominal.cpu_cores == 1
    assert (found.retention.keep_jobs_s, found.retention.keep_keys_s) == (1.0, 3600.0)
    assert found.retention.keep_jobs == 20_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[retension]\njobs = 3\n", "unknown field `retension`: did you mean 'retention'?"),
        ("[retention]\njob = 3\n", "unknown field `job`"),
        ("[retention]\njobs = -3\n", "keep_jobs is -3"),
        ('[retention]\nkeys = "soon"\n', "keys is 'soon'"),
        ("[tenants.x]\n", "tenant 'x' has no amount"),
        ("[[nodes]]\n", "missing required field `name`"),
        ("[tenants", "is not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_settings(path, tmp_path)
    assert says in str(refused.value)
    with pytest.raises(ConfigError, match="cannot read"):
        read_settings(tmp_path / "none.toml", tmp_path)


def test_quotas_hold_and_are_shown_and_old_jobs_are_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / FILE_NAME).write_text(SETTINGS)
    with jobs_service(folder, nodes_declared=True) as service:
        wanted: dict[str, Any] = {"tenant": "guests", "resources": {"cpu_cores": 1}}
        first = service.submit("sleep 600", grace=0, **wanted)
        service.wait_state(first, "running")
        second = service.submit("true", "key-2", **wanted)
        wait_until(lambda: "quota" in str(service.client.ask("jobs")["jobs"][0]["reason"]), timeout_s=30)
        waits = service.task(second)["waits"]
        assert (waits["reason"], waits["resource"], waits["missing"]) == ("quota", "cpu_cores", 1.0)
        assert "tenant 'guests' would be 1 core over its quota" in waits["why"]

        shown = CliRunner().invoke(steelyard, ["jobs", "--state", str(folder)]).output
        assert "guests" in shown
        assert "1 cpu / 1 cpu" in shown
        assert "1 cpu / 1 cpu" in CliRunner().invoke(steelyard, ["nodes", "--state", str(folder)]).output
        (row,) = service.client.ask("nodes")["tenants"]
        assert (row["held"], row["tasks_placed"], row["tasks_waiting"]) == ({"cpu_cores": 1.0}, 1, 1)

        service.client.ask("cancel", job=first)
        wait_until(lambda: service.client.ask("jobs")["total"] == 0, timeout_s=30)
        wait_until(lambda: not any((folder / "logs").iterdir()), timeout_s=30)
        with pytest.raises(BadRequest, match="it ended long ago and is forgotten"):
            service.job(second)
        assert service.submit("true", "key-2", **wanted) == second, "its key is kept"
        service.kill()
        service.start()
        assert service.submit("true", "key-2", **wanted) == second
        assert int(service.submit("true", **wanted)) == int(second) + 1, "no number is used twice"
