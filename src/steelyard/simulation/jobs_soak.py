"""Many seeds of the simulated cluster, one after another: `python -m steelyard.simulation.jobs_soak`.

A failing seed is printed and the rest goes on; `--seed` repeats one. With a progress file a long soak is
interrupted and continued at will: the same command goes on where the file says. `tools.soak` plays the same
seeds, compiled.
"""

import argparse
import gc
import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from steelyard.simulation.jobs_agents import Violation
from steelyard.simulation.jobs_faults import Run

REPORT_EVERY = 10_000
SAVE_EVERY = 200  # seeds: what an interruption repeats
MAX_FAILURES = 100
PLAYED = ("model", "policies", "cluster", "scheduling", "simulation")


class NoProgress(Exception):
    """A progress file that cannot be continued."""


@dataclass(slots=True)
class Progress:
    """How far it is.

    next: the seed to be played next; all from `first` to before it were.
    failures: seed → the promise that it broke.
    cpu_s: processor time of them all.
    sources: of what was played, a digest.
    """

    first: int
    next: int
    failures: dict[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    sources: str = ""

    @classmethod
    def load(cls, path: Path, first: int | None) -> "Progress":
        """From a file; from `first`, or 0, without one. Raises NoProgress."""
        try:
            known = cls(**json.loads(path.read_bytes()))
            fits = 0 <= known.first <= known.next and first in (None, known.first)
        except FileNotFoundError:
            return cls(first or 0, first or 0, sources=digest())
        except (OSError, ValueError, TypeError) as error:
            raise NoProgress(f"{path} holds no progress ({error}): name another file") from error
        if not fits:
            raise NoProgress(f"{path} began with seed {known.first}, not with {first}: name another file")
        if known.sources != digest():
            raise NoProgress(f"{path} is of seeds that other sources played: name another file")
        return known

    def save(self, path: Path | None) -> None:
        """Into the file, whole or not at all."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f"{path.name}.new")
            beside.write_text(json.dumps(asdict(self)) + "\n")
            beside.replace(path)


def digest() -> str:
    """Of all sources that a seed may run through."""
    package = Path(__file__).parent.parent
    paths = [path for name in PLAYED for path in sorted((package / name).rglob("*.py"))]
    found = hashlib.sha256()
    for path in paths:
        found.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def soak(progress: Progress, last: int, path: Path | None = None) -> None:
    """Play all seeds up to `last`. Stops early when very many fail."""
    gc.disable()  # one seed's cycles are small; collected between seeds they cost a twentieth
    began_s = time.process_time() - progress.cpu_s
    try:
        while progress.next <= last and len(progress.failures) < MAX_FAILURES:
            seed = progress.next
            try:
                Run(seed).play()
            except Violation as violation:
                progress.failures[str(seed)] = str(violation)
                print(f"seed {seed}: {violation}\nrepeat it with --seed {seed}", flush=True)
            progress.next += 1
            progress.cpu_s = time.process_time() - began_s
            played = progress.next - progress.first
            if played % SAVE_EVERY == 0 or seed == last:
                progress.save(path)
                gc.collect()
            if played % REPORT_EVERY == 0:
                print(f"{played} seeds, {progress.cpu_s:.0f} s", flush=True)
    finally:
        gc.enable()


def main() -> int:
    """Play seeds; 1 when one broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m steelyard.simulation.jobs_soak")
    parser.add_argument("--first", type=int, help="the first seed; 0 if not given")
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--seeds", type=int, default=2000, help="how many")
    many.add_argument("--last", type=int, help="the last seed")
    many.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--progress", type=Path, metavar="FILE", help="continue from it, and keep it")
    options = parser.parse_args()
    first, last = options.first or 0, options.last
    if options.seed is not None:
        first = last = options.seed
    elif last is None:
        last = first + options.seeds - 1
    try:
        if options.progress is not None:
            progress = Progress.load(options.progress, options.first)
        else:
            progress = Progress(first, first)
        soak(progress, last, options.progress)
    except (NoProgress, OSError) as error:
        print(f"jobs_soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        progress.save(options.progress)
        print(f"interrupted before seed {progress.next}", flush=True)
        return 130
    played = progress.next - progress.first
    if progress.failures:
        print(f"{len(progress.failures)} of {played} seeds broke a promise: {', '.join(progress.failures)}")
        return 1
    print(f"{played} seeds without a violation, {progress.first} to {last}, in {progress.cpu_s:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
