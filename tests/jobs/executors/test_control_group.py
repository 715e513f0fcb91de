"""Groups of cgroup v2: limits as files in a folder, and the real thing where a mount of it can be had."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.jobs.executors.control_group import ControlGroup, make_group, parent_group
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


def version_2(root: Path) -> Path:
    (root / "cgroup.controllers").write_text("cpu memory\n")
    return root


def test_without_version_2_there_is_no_group(tmp_path: Path) -> None:
    assert parent_group("A", tmp_path) is None
    assert make_group(None, "7.0@1", Resources(), cpu_is_limit=False) is None


def test_a_root_that_does_not_hand_its_controllers_down_is_done_without(tmp_path: Path) -> None:
    (version_2(tmp_path) / "cgroup.subtree_control").mkdir()  # as good as EBUSY: it cannot be written
    assert parent_group("A", tmp_path) is None


def test_a_folder_that_we_may_not_write_to_is_done_without(tmp_path: Path) -> None:
    (version_2(tmp_path) / "steelyard").touch()
    assert parent_group("A", tmp_path) is None


def test_groups_go_without_limits_where_version_1_holds_the_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    parent = parent_group("A", tmp_path)
    group = make_group(parent, "7.0@1", Resources(memory_bytes=1000), cpu_is_limit=True)
    assert group is not None
    assert [*group.folder.iterdir()] == []
    assert not (tmp_path / "cgroup.subtree_control").exists()


def test_a_limit_that_the_kernel_refuses_leaves_no_group_behind(tmp_path: Path) -> None:
    parent = parent_group("A", version_2(tmp_path))
    assert parent is not None
    (parent / "7.0@1").mkdir()
    (parent / "7.0@1" / "memory.max").mkdir()
    assert make_group(parent, "7.0@1", Resources(memory_bytes=1000), cpu_is_limit=False) is None
    (parent / "8.0@1").touch()
    assert make_group(parent, "8.0@1", Resources(memory_bytes=1000), cpu_is_limit=False) is None


def test_what_the_kernel_says_of_a_group_is_read(tmp_path: Path) -> None:
    group, events = ControlGroup(tmp_path), tmp_path / "memory.events"
    assert not group.out_of_memory()
    events.write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 0\noom_group_kill 0\n")
    assert not group.out_of_memory()
    events.write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert group.out_of_memory()
    events.write_text("what is this")
    assert not group.out_of_memory()


def test_a_group_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    group = ControlGroup(tmp_path / "none")
    group.add(1)
    group.kill()
    group.remove()
    assert not group.out_of_memory()


# An agent's attempts under a root of plain files: the kernel's part is played by what the task writes.
ATTEMPT = """
import json, pathlib, sys, time
from steelyard.jobs.executor import Attempt, StartOrder
from steelyard.jobs.executors import node_attempts
from steelyard.jobs.executors.control_group import parent_group
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.model.resources import Resources

root, work = map(pathlib.Path, sys.argv[1:])
node_attempts.parent_group = lambda name: parent_group(name, root)
attempts = node_attempts.NodeAttempts(LocalNode(name="A"), work)
group = root / "steelyard" / "A" / "7.0@1"
command = f"echo oom_kill 1 > {group}/memory.events; cat {group}/cgroup.procs; echo; echo $$; exit 9"
order = StartOrder(
    attempt=Attempt(task_id="7.0", epoch=1), node_id="A", command=("sh", "-c", command), environment={},
    log_path=str(work / "log"), demand=Resources(cpu_cores=1, memory_bytes=64 << 20),
)
attempts.start(order)
ends = []
while not ends:
    time.sleep(0.02)
    ends = attempts.turn(time.monotonic())
print(json.dumps({"reason": ends[0].reason, "code": ends[0].exit_code, "log": (work / "log").read_text(),
                  "killed": (group / "cgroup.kill").read_text()}))
"""


def test_an_attempt_is_in_its_group_from_its_first_step_and_its_end_says_what_the_kernel_did(
    tmp_path: Path,
) -> None:
    root, work = tmp_path / "root", tmp_path / "work"
    root.mkdir()
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPT, str(version_2(root)), str(work)],
        capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    in_group, own = found["log"].split()
    assert in_group == own
    assert (found["reason"], found["code"]) == ("the kernel ended it at its memory limit", 9)
    assert found["killed"] == "1"
