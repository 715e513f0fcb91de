"""Policies that installed packages offer: listed, used, and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
class Last:
    \"\"\"The last of the eligible ones.

    Ties: none.
    \"\"\"

    def __init__(self, rng):
        pass

    def pick(self, request, eligible, fleet, now_s):
        from steelyard.model.routing_policy import Pick
        return Pick(eligible.slots[-1], "last")
"""


def install(folder: Path, module: str) -> None:
    """A package with one policy, as pip would lay it out."""
    (folder / "outsider.py").write_text(module)
    information = folder / "outsider-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[steelyard.routing_policies]\nlast = outsider:Last\n")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(folder), *(path for path in sys.path if path)]
    return subprocess.run(
        [sys.executable, "-m", "steelyard", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )


def test_a_policy_of_another_package_is_listed_and_can_be_simulated(tmp_path: Path) -> None:
    install(tmp_path, GOOD)
    listed = run(tmp_path, "policies")
    assert "last" in listed.stdout
    assert "The last of the eligible ones." in listed.stdout
    simulated = run(tmp_path, "simulate", "generated", "--limit", "20", "--policy", "last", "--json")
    assert simulated.returncode == 0, simulated.stderr
    assert '"policy": "last"' in simulated.stdout


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("1 / 0\n", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("import nothing_of_that_name\n", "cannot be loaded: ModuleNotFoundError"),
        ("Other = 1\n", "cannot be loaded: AttributeError"),
        ("def Last(rng):\n    raise RuntimeError('no\\nluck')\n", "cannot be made: RuntimeError: no luck"),
        ("def Last(rng):\n    return 3\n", "has no method pick"),
    ],
)
def test_a_policy_that_cannot_be_used_is_one_sentence(tmp_path: Path, module: str, says: str) -> None:
    install(tmp_path, module)
    result = run(tmp_path, "simulate", "generated", "--limit", "20", "--policy", "last")
    assert result.returncode == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
