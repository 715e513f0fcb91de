"""What a node remembers of its attempts on disk, so that its own death loses none of it.

`seen` holds the highest epoch of each task that was ever ordered here: an order that is not above it is
a repeated or late one. An attempt's folder lives from its order until its end is acknowledged.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from steelyard.jobs.executor import Attempt, AttemptEvent, StartOrder
from steelyard.runtime.atomic_file import write_atomically
from steelyard.runtime.process_identity import ProcessIdentity

REWRITE_AT_LINES = 50_000
# Orders of a former controller or connection are refused as such; that one is still under way after so many
# other tasks came to this node is not to be feared, and the memory must not grow for ever.
SEEN_TASKS = 50_000
Kind = TypeVar("Kind")


class AttemptStore:
    """The attempts of one node."""

    def __init__(self, folder: Path) -> None:
        self._attempts = folder / "attempts"
        self._attempts.mkdir(parents=True, exist_ok=True)
        self._seen_path = folder / "seen"
        self._seen: dict[str, int] = {}
        self._lines = 0
        if self._seen_path.exists():
            # A torn last line has no newline and never was acted on.
            text = self._seen_path.read_text(encoding="utf-8")
            for line in text[: text.rfind("\n") + 1].splitlines():
                task_id, _, epoch = line.rpartition(" ")
                self._seen[task_id] = max(self._seen.pop(task_id, 0), int(epoch))
                self._lines += 1

    def is_new(self, attempt: Attempt) -> bool:
        """Whether this epoch is above all that were ordered here for the task."""
        return attempt.epoch > self._seen.get(attempt.task_id, 0)

    def accept(self, order: StartOrder) -> None:
        """Note an order before anything is done about it. Raises OSError: disk full."""
        folder = self.folder(order.attempt)
        folder.mkdir(exist_ok=True)
        write_atomically(folder / "order", msgspec.json.encode(order))
        self._note(order.attempt)

    def refuse_for_ever(self, attempt: Attempt) -> None:
        """Note that an attempt must not start here any more, though it never did."""
        self._note(attempt)

    def _note(self, attempt: Attempt) -> None:
        # Taken out and put in again: the oldest stand first.
        self._seen[attempt.task_id] = max(attempt.epoch, self._seen.pop(attempt.task_id, 0))
        self._lines += 1
        if self._lines > REWRITE_AT_LINES + 2 * len(self._seen) or len(self._seen) > 2 * SEEN_TASKS:
            for task_id in [*self._seen][: max(0, len(self._seen) - SEEN_TASKS)]:
                del self._seen[task_id]
            lines = "".join(f"{task_id} {epoch}\n" for task_id, epoch in self._seen.items())
            write_atomically(self._seen_path, lines.encode())
            self._lines = len(self._seen)
            return
        with self._seen_path.open("a", encoding="utf-8") as file:
            file.write(f"{attempt.task_id} {attempt.epoch}\n")

    def put_process(self, attempt: Attempt, process: ProcessIdentity) -> None:
        """Note who runs it."""
        write_atomically(self.folder(attempt) / "process", msgspec.json.encode(process))

    def put_end(self, event: AttemptEvent) -> None:
        """Note how it ended."""
        write_atomically(self.folder(event.attempt) / "end", msgspec.json.encode(event))

    def forget(self, attempt: Attempt) -> None:
        """Its end is known elsewhere."""
        shutil.rmtree(self.folder(attempt), ignore_errors=True)

    def all(self) -> Iterator[tuple[StartOrder, ProcessIdentity | None, AttemptEvent | None]]:
        """What is remembered; the torn beginning of an order is not."""
        for folder in sorted(self._attempts.iterdir()):
            order = _read(folder / "order", StartOrder)
            if order is None:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            yield order, _read(folder / "process", ProcessIdentity), _read(folder / "end", AttemptEvent)

    def folder(self, attempt: Attempt) -> Path:
        """Of one attempt."""
        return self._attempts / str(attempt)


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
