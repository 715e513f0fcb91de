"""A named node's numbers are the sum over its process groups, and of nothing else."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.harness.processes import wait_until

from steelyard.model.resources import Resources
from steelyard.telemetry.host import SAMPLE_INTERVAL_S
from steelyard.telemetry.process_groups import ProcessGroupSampler, members

BUSY = "while True: pass"
# A parent that only waits, with one child that holds 60 MB.
HOLDING = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', "
    '"x = bytearray(60_000_000); import time; time.sleep(60)"])'
)
CAPACITY = Resources(cpu_cores=2, memory_bytes=1e9)


@contextlib.contextmanager
def group(source: str) -> Iterator[int]:
    """A process that leads a group of its own; killed whole."""
    with subprocess.Popen([sys.executable, "-c", source], start_new_session=True) as child:
        try:
            yield child.pid
        finally:
            os.killpg(child.pid, signal.SIGKILL)


def test_only_the_groups_asked_for_count() -> None:
    with group(BUSY) as busy, group("import time; time.sleep(60)") as idle:
        node_a, node_b = (ProcessGroupSampler(name, CAPACITY) for name in "ab")
        node_a.sample([busy])
        node_b.sample([idle])
        wait_until(lambda: node_a.sample([busy]).cpu_used_cores > 0.02)
        wait_until(lambda: node_b.sample([idle]).cpu_used_cores < 0.01)  # once it has started
        assert node_a.sample([busy]).cpu_cores == 2


def test_children_count_with_their_parent() -> None:
    with group(HOLDING) as holding:
        sampler = ProcessGroupSampler("a", CAPACITY)
        wait_until(lambda: sampler.sample([holding]).memory_used_bytes > 60e6)
        assert len(members([holding])) == 2


def test_a_group_that_ended_counts_nothing() -> None:
    sampler = ProcessGroupSampler("a", CAPACITY)
    with group(BUSY) as busy:
        sampler.sample([busy])
    assert sampler.sample([busy]).memory_used_bytes == 0
    assert sampler.sample([]).cpu_used_cores == 0


def test_sampling_five_nodes_costs_at_most_one_percent_of_a_core() -> None:
    with contextlib.ExitStack() as stack:
        groups = [stack.enter_context(group("import time; time.sleep(60)")) for _ in range(5)]
        nodes = [ProcessGroupSampler(str(leader), CAPACITY) for leader in groups]
        before_s, rounds = time.process_time(), 20
        for _ in range(rounds):
            for node, leader in zip(nodes, groups, strict=True):
                node.sample([leader])
        cost_s = (time.process_time() - before_s) / rounds
    assert cost_s / SAMPLE_INTERVAL_S <= 0.01, f"{cost_s * 1e3:.2f} ms a round"
