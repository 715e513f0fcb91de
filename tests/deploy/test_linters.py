"""What the formats' own tools say of `deploy/`: Helm, Kubernetes' and compose's schemas, hadolint, systemd.

They live in an environment of their own (`make packages`; deploy/linters.txt); without it these tests skip.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steelyard.version import __version__

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "steelyard"
LINTERS = ROOT / ".venvs" / "linters" / "bin"
CONFIGURATION = (
    'listen = "0.0.0.0:9000"\n[[pools]]\nname = "x"\n[[pools.replicas]]\nurl = "http://engine:1"\n'
)


def linter(name: str) -> str:
    found = LINTERS / name
    if not found.exists():
        pytest.skip(f"{name} is not installed (make packages)")
    return str(found)


def says(*command: str | Path) -> str:
    """What a linter that is content says; the test fails when it is not."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rendered(tmp_path: Path, values: dict[str, Any]) -> dict[str, Any]:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    answer: dict[str, Any] = json.loads(
        says(linter("python"), ROOT / "tools" / "render_chart.py", CHART, file)
    )
    return answer


VALUES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "changed": {
        "image": "registry.example/steelyard:1",
        "replicas": 5,
        "port": 9000,
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
        "configuration": CONFIGURATION,
        "env": [{"name": "ENGINE_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "engine"}}}],
        "volumes": [{"name": "keys", "secret": {"secretName": "keys"}}],
        "volumeMounts": [{"name": "keys", "mountPath": "/etc/steelyard-keys", "readOnly": True}],
        "nodeSelector": {"pool": "cpu"},
        "tolerations": [{"key": "edge", "operator": "Exists"}],
    },
}


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_renders_manifests_that_kubernetes_knows(name: str, tmp_path: Path) -> None:
    yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed (pip install 'steelyard[dev]')")
    answer = rendered(tmp_path, VALUES[name])
    assert answer["findings"] == []
    manifest = tmp_path / "manifests.yaml"
    manifest.write_text(answer["rendered"], encoding="utf-8")
    says(linter("kubernetes-validate"), "--strict", manifest)
    kinds = {each["kind"]: each for each in yaml.safe_load_all(answer["rendered"])}
    assert set(kinds) == {"ConfigMap", "Service", "PodDisruptionBudget", "Deployment"}
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {"configuration", *(each["name"] for each in VALUES[name].get("volumes", ()))}
    assert mounted == {each["name"] for each in pod["volumes"]}
    # preStop and the drain (30 s) fit into the grace, and then some.
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert waits + 30 < pod["terminationGracePeriodSeconds"]
    wanted = VALUES[name].get("configuration")
    assert wanted is None or kinds["ConfigMap"]["data"]["steelyard.toml"].strip() == wanted.strip()


def test_the_chart_refuses_a_value_that_it_does_not_know(tmp_path: Path) -> None:
    answer = rendered(tmp_path, {"replica": 3})
    assert any("replica" in finding for finding in answer["findings"])


def test_the_chart_names_the_version_of_the_program() -> None:
    assert f'appVersion: "{__version__}"' in (CHART / "Chart.yaml").read_text(encoding="utf-8")


def test_hadolint_accepts_the_dockerfile() -> None:
    says(linter("hadolint"), "--no-color", DEPLOY / "Dockerfile")


def test_the_compose_file_obeys_the_compose_specification() -> None:
    says(linter("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


@pytest.mark.parametrize("name", ["steelyard.service", "steelyard-jobs.service"])
def test_systemd_accepts_the_units(name: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    unit = tmp_path / name
    # systemd asks for a program that is there; which verbs it is given, test_deploy.py checks.
    unit.write_text(text.replace("/opt/steelyard/bin/steelyard", sys.executable), encoding="utf-8")
    result = subprocess.run(
        [program, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in result.stderr.splitlines() if name in line]
    assert ours == []
