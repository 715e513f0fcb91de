"""What forgotten jobs leave on disk: logs, and checkpoints in the service's own folder. It goes with them.

In a thread of its own, since a folder may hold very much. A folder that a job named itself is left alone.
What a crash kept from being removed is found at the next start.
"""

import queue
import shutil
import threading
from collections.abc import Container, Iterable
from pathlib import Path

FOLDERS = ("logs", "checkpoints")


class Sweeper:
    """Removes folders, one job after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def sweep(self, job_ids: Iterable[str]) -> None:
        """Remove what these jobs left, soon."""
        for job_id in job_ids:
            self._jobs.put(job_id)

    def sweep_unknown(self, known: Container[str], next_job: int) -> None:
        """Remove what jobs left that there were and that are not known any more."""
        for name in FOLDERS:
            folder = self._folder / name
            found = [each.name for each in folder.iterdir()] if folder.is_dir() else []
            self.sweep(
                each for each in found if each.isdecimal() and int(each) < next_job and each not in known
            )

    def end(self) -> None:
        """Finish what was asked for."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job_id := self._jobs.get()) is not None:
            for name in FOLDERS:
                shutil.rmtree(self._folder / name / job_id, ignore_errors=True)
