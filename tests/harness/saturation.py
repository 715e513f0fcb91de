"""A machine whose processors are all busy, and whether anybody takes it for a dead one."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from steelyard.jobs.executor import Executor
from steelyard.policies.failure.suspicion import SuspicionRules

SECONDS = float(os.environ.get("STEELYARD_SATURATED_S", "2"))
"""How long the tests saturate it; `make soak` and docs/executors.md take minutes."""
BURNERS_PER_CORE = 4


@contextlib.contextmanager
def busy_processors() -> Iterator[None]:
    """Four times more processes than cores, all of which compute."""
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(BURNERS_PER_CORE * (os.cpu_count() or 1))
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def longest_silence_without_verdict(executor: Executor) -> float:
    """Look after all nodes as the controller does, for `SECONDS`; the longest silence of one, in seconds.

    Asserts that no node was given up.
    """
    rules, longest_s = SuspicionRules(), 0.0
    until_s = time.monotonic() + SECONDS
    while time.monotonic() < until_s:
        executor.poll()
        for node in executor.nodes():
            silence_s = time.monotonic() - node.heard_at_s
            longest_s = max(longest_s, silence_s)
            if rules.is_suspect(silence_s):
                assert not rules.verdict(silence_s, executor.witness(node.node_id)), node.node_id
        time.sleep(0.05)
    return longest_s
