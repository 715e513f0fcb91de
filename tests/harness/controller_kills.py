"""Kill a real jobs service with -9 at random moments, over and over, and count what came of its jobs.

`python -m tests.harness.controller_kills --kills 300` prints the figures; the tests play a short version.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from tests.harness.jobs import RunningJobs, lines

from steelyard.jobs.client import NoService
from steelyard.jobs.specification import from_table
from steelyard.model.errors import SteelyardError

COMMAND = 'echo start >> "$RUNS/$STEELYARD_TASK"; sleep 0.$NAP; echo end >> "$RUNS/$STEELYARD_TASK"'


@dataclass(slots=True)
class KillFigures:
    """What came of it: all but the first four must be 0."""

    kills: int = 0
    jobs: int = 0
    tasks: int = 0
    seconds: float = 0.0
    jobs_lost: int = 0
    jobs_twice: int = 0
    tasks_run_twice: int = 0
    finished_unrecorded: int = 0
    recorded_twice: int = 0

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost and nothing was doubled."""
        wrong = (self.jobs_lost, self.jobs_twice, self.tasks_run_twice, self.finished_unrecorded)
        return not any(wrong) and not self.recorded_twice


class Killing:
    """One run."""

    def __init__(self, folder: Path, kills: int, seed: int) -> None:
        self.rng = Random(seed)
        self.runs = folder / "runs"
        self.runs.mkdir()
        nodes = [each for name in "AB" for each in ("--node", f"{name}:cpu_cores=6,memory=4GiB")]
        self.service = RunningJobs(folder / "state", *nodes)
        self.figures = KillFigures(kills=kills)
        self.jobs: dict[str, str] = {}
        self.unanswered: list[str] = []

    def play(self) -> KillFigures:
        """Kill, restart, submit; then let all finish and count."""
        began_s = time.monotonic()
        try:
            for _ in range(self.figures.kills):
                self.service.start(ready=False)
                self._work_until(
                    time.monotonic() + self.rng.choice((0.6, 1.5, 2.5)) * self.rng.random() + 0.05
                )
                self.service.kill()
            self.service.start()
            while self.unanswered:
                self._submit(self.unanswered[0])
            for job_id in self.jobs.values():
                self.service.client.wait(job_id, timeout_s=120)
            self._count()
        finally:
            self.service.end()
        self.figures.seconds = round(time.monotonic() - began_s, 1)
        return self.figures

    def _work_until(self, until_s: float) -> None:
        """Submit now and then, also what got no answer before."""
        while time.monotonic() < until_s:
            if self.unanswered:
                self._submit(self.unanswered[0])
            elif self.rng.random() < 0.3 and len(self.jobs) < 3 * self.figures.kills:
                key = f"key{len(self.jobs)}"
                self.unanswered.append(key)
                self._submit(key)
            time.sleep(self.rng.random() * 0.06)

    def _submit(self, key: str) -> None:
        table = {
            "command": COMMAND,
            "tasks": 1 + int(key[3:]) % 3,
            "environment": {"RUNS": str(self.runs), "NAP": str(int(key[3:]) % 6)},
            "resources": {"cpu_cores": 0.3},
        }
        try:
            self.jobs[key] = self.service.client.submit(from_table(table, self.runs), key)
            self.unanswered.remove(key)
        except NoService:
            self.service.client.close()
        except SteelyardError as error:
            raise AssertionError(f"{key}: {error}") from error

    def _count(self) -> None:
        figures = self.figures
        figures.jobs = len(self.jobs)
        known = self.service.client.ask("jobs", limit=100_000)["jobs"]
        figures.jobs_lost = len({*self.jobs.values()} - {row["job"] for row in known})
        figures.jobs_twice = len(known) - len({*self.jobs.values()})
        for job_id in self.jobs.values():
            view = self.service.job(job_id)
            for task in view["task_views"]:
                figures.tasks += 1
                wrote = lines(self.runs / task["task"])
                figures.tasks_run_twice += wrote.count("start") > 1 or wrote.count("end") > 1
                figures.finished_unrecorded += "end" in wrote and task["state"] != "done"
                figures.jobs_lost += "end" not in wrote
                ends = [each for each in view["timeline"] if each["task"] == task["task"]]
                figures.recorded_twice += sum(each["after"] == "done" for each in ends) != 1


def main() -> int:
    """From the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness.controller_kills")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = Killing(Path(folder), options.kills, options.seed).play()
    print(json.dumps(asdict(figures)))
    return 0 if figures.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
