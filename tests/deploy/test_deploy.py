"""What `deploy/` holds agrees with the program: metrics, verbs, options, and the formats' own checkers."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from steelyard.cli.main import steelyard
from steelyard.config.load import load_file
from steelyard.gateway import metrics, tenant_metrics
from steelyard.runtime.limit_page import LimitPage
from steelyard.runtime.page import SharedPage

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana/dashboards/steelyard.json"
ALERTS = DEPLOY / "prometheus/alerts.yml"


def exposed() -> set[str]:
    """Every name of a series that the gateway's own code renders."""
    text = metrics.render(SharedPage.create(1), [], ["llm"], 0)
    text += tenant_metrics.render(LimitPage.create(1), {"search": 0})
    text += tenant_metrics.render_supervisor(1, 0, 0)
    names: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text.decode(), re.MULTILINE):
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names |= {name + part for part in parts}
    return names


def check_command(words: list[str]) -> None:
    """Let click read a verb's arguments without running it."""
    context = click.Context(steelyard)
    command = steelyard.get_command(context, words[0])
    assert command is not None, f"no verb {words[0]}"
    command.make_context(words[0], words[1:], parent=context)


@pytest.mark.parametrize("path", [DASHBOARD, ALERTS], ids=lambda path: path.name)
def test_names_only_metrics_that_the_gateway_exposes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"\bsteelyard_[a-z_]+", text))
    assert named
    assert named <= exposed()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_reads_every_query_of_the_dashboard(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [{"record": f"panel:query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    command = ["promtool", "check", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_has_a_query_in_every_panel() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize(
    "arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_accepts_the_alerts(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    result = subprocess.run(
        [promtool, *arguments], cwd=ALERTS.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "helm/steelyard/templates/gateway.yaml"])
def test_containers_call_verbs_and_options_that_exist(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    called = re.findall(r"^\s*(?:CMD|command:|args:) (\[[^\]]*\])$", text, re.MULTILINE)
    commands = [json.loads(each) for each in called]
    ours = [each for each in commands if each[0] != "python" and not each[0].startswith("--")]
    assert ours
    for each in ours:
        check_command(each)


@pytest.mark.parametrize("name", ["steelyard.service", "steelyard-jobs.service"])
def test_units_are_read_and_start_what_exists(name: str) -> None:
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's own way to keep case
    unit.read(DEPLOY / "systemd" / name, encoding="utf-8")
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/bin/steelyard")
    check_command(words)


def test_the_configuration_is_good() -> None:
    assert len(load_file(DEPLOY / "steelyard.toml").pools[0].replicas) == 2


@pytest.mark.parametrize("path", [*DEPLOY.rglob("*.y*ml")], ids=lambda path: path.name)
def test_yaml_is_read(path: Path) -> None:
    yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed (pip install 'steelyard[dev]')")
    if "templates" in path.parts:
        pytest.skip("a Helm template is YAML only once rendered")
    assert yaml.safe_load(path.read_text(encoding="utf-8"))
