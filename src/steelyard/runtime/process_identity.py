"""Which process is meant, when ids are used again: an id with the tick at which it started.

Read from /proc and not as a wall time, which moves when somebody sets the clock.
"""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, for ever. ticks: since the machine started."""

    pid: int
    ticks: int

    @property
    def exists(self) -> bool:
        """Whether it still is there and not only waits to be reaped."""
        found = _stat(self.pid)
        return found is not None and found[1] == self.ticks and found[0] not in "ZX"

    @property
    def is_stopped(self) -> bool:
        """Whether it exists but is held by SIGSTOP or a debugger."""
        found = _stat(self.pid)
        return found is not None and found[1] == self.ticks and found[0] in "Tt"

    def kill_group(self) -> None:
        """End its process group at once, if it still is the group's leader."""
        if self.exists:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def identify(pid: int) -> ProcessIdentity | None:
    """Who has this id now; None when nobody has."""
    found = _stat(pid)
    return ProcessIdentity(pid, found[1]) if found is not None else None


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start tick (fields 3 and 22 of proc_pid_stat(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in brackets, may hold blanks and brackets itself.
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def carrying(variable: str, value: str) -> list[int]:
    """Processes in whose environment a variable has this value: it is inherited, whatever they became."""
    wanted = f"{variable}={value}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.append(int(entry))
    return found


def children_of(pid: int) -> list[int]:
    """Direct children, from the kernel's own list."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (OSError, ValueError):
        return []
