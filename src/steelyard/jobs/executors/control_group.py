"""A cgroup v2 for an attempt, where we may make one: the only limits that hold for a whole process tree."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from steelyard.model.resources import Resources

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
CONTROLLERS = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One group, by its folder."""

    folder: Path

    def add(self, pid: int) -> None:
        """Move a process into it; what it starts stays in it."""
        with suppress(OSError):
            (self.folder / "cgroup.procs").write_text(str(pid))

    def kill(self) -> None:
        """End all in it (Linux 5.14)."""
        with suppress(OSError):
            (self.folder / "cgroup.kill").write_text("1")

    def out_of_memory(self) -> bool:
        """Whether the kernel ended something in it for its limit."""
        with suppress(OSError):
            events = (self.folder / "memory.events").read_text().splitlines()
            return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in events)
        return False

    def remove(self) -> None:
        """Take it away, once empty."""
        with suppress(OSError):
            self.folder.rmdir()


def parent_group(name: str, root: Path = ROOT) -> Path | None:
    """A group of ours under which attempts may have theirs; None where we may not, or with cgroup v1.

    Where version 1 still holds a controller, groups go without its limit; they end whole all the same.
    """
    if not (root / "cgroup.controllers").exists() or not os.access(root, os.W_OK):
        return None
    folder = root / "steelyard" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = (root / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{each}" for each in CONTROLLERS if each in there)
        for each in (root, folder.parent, folder):
            if wanted:
                (each / "cgroup.subtree_control").write_text(wanted)
    except OSError:
        return None
    return folder


def make_group(parent: Path | None, name: str, demand: Resources, cpu_is_limit: bool) -> ControlGroup | None:
    """A group with these limits; None where there can be none. cpu_is_limit: cores cap, else weigh."""
    if parent is None:
        return None
    folder = parent / name.replace("/", "_")
    limits: dict[str, str] = {}
    if demand.memory_bytes:
        limits["memory.max"] = str(int(demand.memory_bytes))
    if demand.cpu_cores:
        limits["cpu.weight"] = str(max(1, min(10_000, round(100 * demand.cpu_cores))))
        if cpu_is_limit:
            limits["cpu.max"] = f"{int(demand.cpu_cores * PERIOD_US)} {PERIOD_US}"
    try:
        folder.mkdir(exist_ok=True)
        for file, value in limits.items():
            if (folder / file).exists():
                (folder / file).write_text(value)
    except OSError:
        ControlGroup(folder).remove()
        return None
    return ControlGroup(folder)
