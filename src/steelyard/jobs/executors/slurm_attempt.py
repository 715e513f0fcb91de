"""One attempt as the controller's side sees it: a folder shared with its node, and a job of Slurm's."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from steelyard.jobs.executor import Attempt, AttemptEvent
from steelyard.jobs.executors.slurm_task import BEAT, END, FENCE, LEASE_S, STARTED, STOP, Beat
from steelyard.runtime.atomic_file import write_atomically

Kind = TypeVar("Kind")
# Its own limit, a tick, and the end of its processes.
LEASE_IS_OVER_AFTER_S = LEASE_S + 1.0


@dataclass(slots=True)
class SlurmAttempt:
    """See the module.

    job_id: Slurm's; "" while not handed in.
    is_dropped: nobody waits for it: it is forgotten once it is over.
    beat_at_s: when its count was last seen to grow, by our clock.
    """

    attempt: Attempt
    node_id: str
    folder: Path
    grace_s: float
    log_path: str
    beat_at_s: float
    job_id: str = ""
    is_started: bool = False
    end: AttemptEvent | None = None
    kill_at_s: float | None = None
    beat: Beat | None = None
    missing_since_s: float | None = None
    is_dropped: bool = False

    def look(self, now_s: float) -> bool:
        """Read what its process wrote; whether it has just been seen to start."""
        if self.end is None:
            self.end = read(self.folder / END, AttemptEvent)
        beat = read(self.folder / BEAT, Beat)
        if beat is not None and (self.beat is None or beat.count != self.beat.count):
            self.beat, self.beat_at_s = beat, now_s
        if not self.is_started and (self.folder / STARTED).exists():
            self.is_started = True
            self.beat_at_s = now_s
            return True
        return False

    def ask_to_stop(self, grace_s: float, now_s: float) -> None:
        """Leave the wish where its process looks; remember when patience ends."""
        until_s = now_s + grace_s + 2.0
        self.kill_at_s = until_s if self.kill_at_s is None else min(self.kill_at_s, until_s)
        with suppress(OSError):
            write_atomically(self.folder / STOP, str(grace_s).encode())

    def fence(self) -> None:
        """It must not start any more, and must end if it runs. Raises OSError."""
        write_atomically(self.folder / FENCE, b"")

    def is_over(self, now_s: float) -> bool:
        """Whether it is certain that nothing of it runs: it said so, never claimed, or its lease is over.

        Only after `fence`.
        """
        return self.end is not None or not self.is_started or now_s - self.beat_at_s > LEASE_IS_OVER_AFTER_S

    def wait_until_over(self, clock: Callable[[], float], patience_s: float) -> bool:
        """Look again and again for a while."""
        until_s = clock() + patience_s
        while True:
            self.look(clock())
            if self.is_over(clock()) or clock() > until_s:
                return self.is_over(clock())
            time.sleep(0.05)


def read(path: Path, kind: type[Kind]) -> Kind | None:
    """A small file of JSON, if it is there and whole."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=kind)
    return None
