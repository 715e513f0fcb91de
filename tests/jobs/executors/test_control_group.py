"""Groups of cgroup v2: limits as files in a folder, and the real thing where a mount of it can be had."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.jobs.executors.control_group import make_group, parent_group
from steelyard.model.resources import Resources

# In a mount namespace of its own: nobody else sees the mount. A process, and one that left its session
# and its parent, are in the group; both are gone once it was killed, and it can be removed.
REAL = """
import json, pathlib, subprocess, sys, time
from steelyard.jobs.executors.control_group import make_group, parent_group
from steelyard.model.resources import Resources

root = pathlib.Path(sys.argv[1])
subprocess.run(["mount", "-t", "cgroup2", "none", str(root)], check=True)
parent = parent_group("A", root)
group = make_group(parent, "7.0@1", Resources(cpu_cores=2, memory_bytes=64 << 20), cpu_is_limit=True)
child = subprocess.Popen(["sh", "-c", "read go; setsid -f sleep 1000; sleep 1000"], stdin=subprocess.PIPE)
group.add(child.pid)
child.stdin.write(b"\\n"); child.stdin.flush()
procs = group.folder / "cgroup.procs"
def until(condition):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()
inside = until(lambda: len(procs.read_text().split()) >= 3)
group.kill()
child.wait(timeout=20)
empty = until(lambda: not procs.read_text().split())
limits = {name: (group.folder / name).read_text().strip()
          for name in ("memory.max", "cpu.max") if (group.folder / name).exists()}
group.remove()
gone = not group.folder.exists()
parent.rmdir(); parent.parent.rmdir()
print(json.dumps({"inside": inside, "empty": empty, "gone": gone, "limits": limits}))
"""


def mount_is_possible(folder: Path) -> bool:
    if os.getuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "cgroup2", "none", str(folder)], capture_output=True, check=False
    )
    return tried.returncode == 0


def test_a_real_group_is_killed_whole_and_removed(tmp_path: Path) -> None:
    if not mount_is_possible(tmp_path):
        pytest.skip("needs root, and a kernel that mounts cgroup2")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", REAL, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["inside"], found["empty"], found["gone"]) == (True, True, True)
    # Where version 1 holds the controllers there is nothing to read back.
    assert found["limits"].get("memory.max", str(64 << 20)) == str(64 << 20)
    assert found["limits"].get("cpu.max", "200000 100000") == "200000 100000"


def test_limits_go_into_the_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory\n")
    parent = parent_group("A", tmp_path)
    assert parent is not None
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory"
    (parent / "7.0@1").mkdir()
    for name in ("memory.max", "cpu.weight", "cpu.max"):
        (parent / "7.0@1" / name).touch()
    group = make_group(parent, "7.0@1", Resources(cpu_cores=1.5, memory_bytes=1000), cpu_is_limit=True)
    assert group is not None
    written = {each.name: each.read_text() for each in group.folder.iterdir()}
    assert written == {"memory.max": "1000", "cpu.weight": "150", "cpu.max": "150000 100000"}
    without = make_group(parent, "8.0@1", Resources(memory_bytes=1000), cpu_is_limit=False)
    assert without is not None
    assert [*without.folder.iterdir()] == []


def test_without_version_2_there_is_no_group(tmp_path: Path) -> None:
    assert parent_group("A", tmp_path) is None
    assert make_group(None, "7.0@1", Resources(), cpu_is_limit=False) is None
