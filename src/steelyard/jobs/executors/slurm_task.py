"""What Slurm runs in place of a task: `python -m steelyard.jobs.executors.slurm_task FOLDER`.

The folder is on a file system that the controller sees too. It holds the order; this process claims it (an
attempt runs once, whatever Slurm requeues), runs it by the same code as a local node's agent, and writes
`started`, a `beat` each second with what it measures, and `end`. It obeys `stop` (seconds of grace) and
`fence` (end at once, and say so). Where it cannot write its beat for a while it ends the task: the node may
be cut off, and the controller may count on that.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from steelyard.jobs.executor import AttemptEvent, EventKind, StartOrder
from steelyard.jobs.executors.attempt_process import become_reaper
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.executors.node_attempts import NodeAttempts
from steelyard.model.telemetry import NodeTelemetry
from steelyard.runtime.atomic_file import write_atomically
from steelyard.telemetry.host import HostSampler
from steelyard.telemetry.process_groups import ProcessGroupSampler

BEAT_S = 1.0
LEASE_S = 4.5  # below the 6 s after which the service takes a silent node for lost
TICK_S = 0.2
ORDER, STARTED, BEAT, END, STOP, FENCE = "order", "started", "beat", "end", "stop", "fence"


class Beat(msgspec.Struct):
    """A sign of life. count: so that a repeated reading is no new sign. group: of this task; host: of all."""

    count: int
    group: NodeTelemetry
    host: NodeTelemetry


class SlurmTask:
    """One attempt under Slurm."""

    def __init__(self, folder: Path, order: StartOrder) -> None:
        self._folder = folder
        self._order = order
        self._attempts = NodeAttempts(LocalNode(name=order.node_id), folder / "run")
        self._beaten_at_s = time.monotonic()
        self._asked = False
        signal.signal(signal.SIGTERM, self._terminated)

    def _terminated(self, *_: object) -> None:
        """Slurm's own wish, as of an operator's `scancel` or a time limit."""
        self._asked = True

    def run(self) -> AttemptEvent:
        """Until the attempt has ended; how."""
        first = self._attempts.start(self._order)
        if first is not None and first.kind is not EventKind.STARTED:
            return first
        # Where the shared folder hangs, only this thread hangs with it.
        threading.Thread(target=self._beat_for_ever, daemon=True).start()
        while True:
            now_s = time.monotonic()
            if now_s - self._beaten_at_s > LEASE_S or (self._folder / FENCE).exists():
                self._attempts.stop(self._order.attempt, 0.0, now_s)
            elif self._asked or (self._folder / STOP).exists():
                self._attempts.stop(self._order.attempt, self._grace_s(), now_s)
            self._attempts.enforce_memory()
            for event in self._attempts.turn(now_s):
                if event.kind is EventKind.ENDED:
                    return event
            time.sleep(0.02 if self._attempts.needs_attention else TICK_S)

    def _grace_s(self) -> float:
        with suppress(OSError, ValueError):
            return float((self._folder / STOP).read_text())
        return self._order.grace_s

    def _beat_for_ever(self) -> None:
        group = ProcessGroupSampler(self._order.node_id, self._order.demand, disk_path=str(self._folder))
        host = HostSampler(self._order.node_id, disk_path=str(self._folder))
        count, temporary = 0, self._folder / ".beat"
        while True:
            count += 1
            beat = Beat(count, group.sample(self._attempts.group_ids()), host.sample())
            with suppress(OSError):
                temporary.write_bytes(msgspec.json.encode(beat))
                temporary.replace(self._folder / BEAT)
                self._beaten_at_s = time.monotonic()
            time.sleep(BEAT_S)


def claim(folder: Path) -> bool:
    """Whether this process may run the attempt: the first, and not after it was fenced."""
    try:
        os.close(os.open(folder / STARTED, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    return not (folder / FENCE).exists()


def main() -> int:
    """Run the order of a folder."""
    folder = Path(sys.argv[1])
    order = msgspec.json.decode((folder / ORDER).read_bytes(), type=StartOrder)
    if not claim(folder):
        return 0
    (folder / "run").mkdir(exist_ok=True)
    become_reaper()
    end = SlurmTask(folder, order).run()
    for _ in range(60):  # a full or absent disk may come back; the lease has ended the task meanwhile
        with suppress(OSError):
            write_atomically(folder / END, msgspec.json.encode(end))
            return 0
        time.sleep(1.0)
    return 1


if __name__ == "__main__":
    sys.exit(main())
