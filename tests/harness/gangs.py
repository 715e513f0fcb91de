"""A tiny launcher: the ranks of a gang as processes with the task contract's variables, always reaped."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.harness.processes import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Gang:
    """Ranks of one program."""

    def __init__(self, folder: Path, script: Path, *options: str, ranks: int, python: str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        shared = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("src")),
            "STEELYARD_CHECKPOINT_DIR": str(folder / "checkpoints"),
            "WORLD_SIZE": str(ranks),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.processes = []
        for rank in range(ranks):
            with self._log(rank).open("wb") as log:
                child = subprocess.Popen(
                    [python, str(script), *options],
                    env=shared | {"RANK": str(rank)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, cwd=script.parent,
                )  # fmt: skip
            self.processes.append(child)

    def _log(self, rank: int) -> Path:
        return self._folder / f"{rank}.log"

    def output(self, rank: int = 0) -> str:
        """What a rank printed."""
        return self._log(rank).read_text()

    def wait_for(self, text: str, timeout_s: float = 60.0) -> None:
        """Until rank 0 printed it."""
        wait_until(lambda: text in self.output() or self.processes[0].poll() is not None, timeout_s)
        assert text in self.output(), self.output()

    def wait(self, timeout_s: float = 60.0) -> list[int]:
        """The ranks' exit codes."""
        return [process.wait(timeout_s) for process in self.processes]

    def signal(self, rank: int, number: signal.Signals) -> None:
        """To one rank's whole group."""
        os.killpg(self.processes[rank].pid, number)


@contextlib.contextmanager
def gang(
    folder: Path, script: str, *options: str, ranks: int = 2, python: str = sys.executable
) -> Iterator[Gang]:
    """A gang for the length of a block."""
    running = Gang(folder, EXAMPLES / script, *options, ranks=ranks, python=python)
    try:
        yield running
    finally:
        for process in running.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
