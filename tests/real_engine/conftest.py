"""Real llama.cpp servers with a tiny random model. `make test-engine` says where they can be run."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PYTHON = os.environ.get("STEELYARD_ENGINE_PYTHON", "")


class RealEngine:
    """One llama.cpp process."""

    def __init__(self, model: Path) -> None:
        self.process = subprocess.Popen(
            [PYTHON, str(HERE / "engine_process.py"), str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            name, found, self.url = line.strip().partition(" listening on ")
            if found and name == "engine":
                return
        pytest.fail("the engine ended before it listened")

    def kill(self) -> None:
        """As a crash does."""
        self.process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """End it and wait for its end."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's file."""
    if not PYTHON:
        pytest.skip("no real engine: `make test-engine` makes an environment with xllamacpp and gguf")
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    subprocess.run([PYTHON, str(HERE / "tiny_model.py"), str(path)], check=True, timeout=60)
    return path


@pytest.fixture
def engines(model: Path) -> Iterator[list[RealEngine]]:
    """Two of them."""
    running: list[RealEngine] = []
    try:
        running += [RealEngine(model), RealEngine(model)]
        yield running
    finally:
        for engine in running:
            engine.close()
