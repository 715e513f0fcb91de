"""The soak of the controller, compiled where that can be done: `python -m tools.soak` and the soak's options.

The simulated cluster and all that it drives are copied into build/soak and compiled there with mypyc, which
doubles the seeds a second; the sources stay as they are. Without a compiler the same seeds are played as
they are. See `steelyard.simulation.jobs_soak` for the options.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

WHOLE = ("scheduling",)
COMPILED = (
    "cluster/node_table.py",
    "model/controller_event.py",
    "model/errors.py",
    "model/job.py",
    "model/job_record.py",
    "model/job_specification.py",
    "model/node.py",
    "model/placement_policy.py",
    "model/resources.py",
    "policies/feasibility.py",
    "policies/history.py",
    "policies/ordering/priority.py",
    "policies/placement/min_load.py",
    "policies/score_board.py",
    "policies/selection.py",
    "policies/settings.py",
    "policies/ties.py",
    "simulation/fault_plan.py",
    "simulation/jobs_agents.py",
    "simulation/jobs_faults.py",
    "simulation/jobs_world.py",
)
COMPILER = """
import sys
from mypyc.build import mypycify
from setuptools import setup
extensions = mypycify(
    ["--ignore-missing-imports", *sys.argv[1:]], opt_level="2", debug_level="0", group_name="soak",
    target_dir="../mypyc",
)
setup(name="soak", ext_modules=extensions, packages=[],
      script_args=["--quiet", "build", "--build-base", "..", "build_ext", "--inplace"])
"""


def build(root: Path) -> Path:
    """The folder to import from: with compiled modules, or the sources themselves."""
    copy = root / "build" / "soak" / "src"
    shutil.rmtree(copy.parent, ignore_errors=True)
    shutil.copytree(root / "src", copy, ignore=shutil.ignore_patterns("*.so", "__pycache__", ".mypy_cache"))
    package = copy / "steelyard"
    paths = [package / name for name in COMPILED]
    for folder in WHOLE:
        paths += sorted(each for each in (package / folder).glob("*.py") if each.stem != "__init__")
    command = [sys.executable, "-c", COMPILER, *(str(path.relative_to(copy)) for path in paths)]
    made = subprocess.run(command, cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        print(f"soak: plays without compiled parts:\n{made.stdout[-2000:]}", file=sys.stderr)
        return root / "src"
    return copy


def main() -> None:
    """Build, then play."""
    root = Path(__file__).resolve().parent.parent
    os.environ["PYTHONPATH"] = str(build(root))
    os.execv(sys.executable, [sys.executable, "-m", "steelyard.simulation.jobs_soak", *sys.argv[1:]])


if __name__ == "__main__":
    main()
