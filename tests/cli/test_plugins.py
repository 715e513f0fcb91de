"""Policies that installed packages offer: listed, used, and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.jobs import jobs_service

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


JOB_POLICIES = """
from steelyard.model.placement_policy import Placement, Refusal

class Odd:
    \"\"\"The last node by name that has room.\"\"\"

    def __init__(self, settings):
        self.rng = settings.rng

    def place(self, claim, nodes, now_s):
        for row in reversed(nodes.rows()):
            if nodes.cpu_free[row] >= claim.demand.cpu_cores * 1000:
                whole = [at for at, free in enumerate(nodes.devices[row]) if free == 1000]
                if len(whole) >= claim.demand.gpus:
                    return Placement(nodes.node_ids[row], tuple(whole[: int(claim.demand.gpus)]), 1.0, "odd")
        return Refusal({}, "no room")

class Youngest:
    \"\"\"The last that came goes first.\"\"\"

    preemptive = False

    def ranked(self, queue, view, now_s):
        return sorted(queue, key=lambda job: (-job.submitted_s, job.job_id))

    def queued_key(self, job, now_s):
        return (-job.submitted_s,)

    def running_key(self, running, now_s):
        return (0.0,)

class Rest:
    \"\"\"Nothing moves.\"\"\"

    def proposals(self, running, nodes, placement, now_s):
        return ()
"""
JOB_ENTRIES = """
[steelyard.placement_policies]
odd = outsider:Odd
first-fit = outsider:Odd
[steelyard.ordering_policies]
youngest = outsider:Youngest
broken = outsider:Rest
[steelyard.rebalancing_policies]
rest = outsider:Rest
"""


def install(
    folder: Path, module: str, entries: str = "[steelyard.routing_policies]\nlast = outsider:Last\n"
) -> None:
    """A package with policies, as pip would lay it out."""
    (folder / "outsider.py").write_text(module)
    information = folder / "outsider-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(entries)


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


def test_policies_of_the_jobs_plane_come_from_packages_too(tmp_path: Path) -> None:
    install(tmp_path, JOB_POLICIES, JOB_ENTRIES)
    listed = run(tmp_path, "policies")
    for line in ("The last node by name that has room.", "The last that came goes first.", "Nothing moves."):
        assert line in listed.stdout
    trace = tmp_path / "jobs.csv"
    trace.write_text("submitted_s,duration_s,gpus\n" + "".join(f"{at},100,8\n" for at in range(5)))
    simulated = run(
        tmp_path, "simulate-cluster", "--nodes", "1x8", "--tasks", str(trace), "--ordering", "youngest",
        "--placement", "odd", "--json",
    )  # fmt: skip
    assert simulated.returncode == 0, simulated.stderr
    assert '"name": "youngest, odd"' in simulated.stdout


def test_a_jobs_service_runs_with_policies_of_packages(tmp_path: Path) -> None:
    install(tmp_path, JOB_POLICIES, JOB_ENTRIES)
    with jobs_service(
        tmp_path / "state", "A", "B",
        options=("--placement", "odd", "--ordering", "youngest", "--rebalancing", "rest"),
        paths=(str(tmp_path),),
    ) as service:  # fmt: skip
        job_id = service.submit("true")
        view = service.wait_state(job_id, "done")
        assert "placed on B by odd" in view["timeline"][1]["reason"]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--ordering", "broken"), "the ordering policy 'broken' has no method ranked(queue, view, now_s)"),
        (("--placement", "ods"), "unknown placement policy 'ods': did you mean 'odd'?"),
        (("--rebalancing", "x"), "unknown rebalancing policy 'x': known are hot-nodes, none"),
    ],
)
def test_a_policy_of_the_jobs_plane_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, option: tuple[str, str], says: str
) -> None:
    install(tmp_path, JOB_POLICIES, JOB_ENTRIES)
    result = run(tmp_path, "up", "--state", str(tmp_path / "state"), *option)
    assert result.returncode == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
