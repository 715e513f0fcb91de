"""Row 39: an event loop that stands still is counted, shown, and replaced; nothing else is taken for one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from tests.end_to_end.fault_fleet import pool
from tests.end_to_end.test_worker_loss import worker_pids
from tests.harness.chaos_engine import chaos_engines, good
from tests.harness.processes import Running, configured_gateway, metrics, wait_until
from tests.harness.raw_client import ask, post

CHAT = "/p/v1/chat/completions"
TIMEOUT_S = 1.5


@contextlib.contextmanager
def watched(folder: Path, workers: int = 2) -> Iterator[Running]:
    text = f"workers = {workers}\nstalled_worker_timeout_s = {TIMEOUT_S}\n"
    with chaos_engines(good) as (engine,), configured_gateway(folder, text + pool("p", engine.url)) as front:
        yield front


def test_a_loop_that_stays_stalled_is_noticed_and_its_worker_replaced(tmp_path: Path) -> None:
    with watched(tmp_path) as front:
        before = worker_pids(front)
        os.kill(before[0], signal.SIGSTOP)
        started_s = time.monotonic()
        wait_until(lambda: metrics(front)["steelyard_workers_stalled"] == 1)
        wait_until(lambda: before[0] not in worker_pids(front) and len(worker_pids(front)) == 2)
        assert time.monotonic() - started_s < TIMEOUT_S + 6
        assert before[1] in worker_pids(front)
        assert metrics(front)["steelyard_stalled_workers_replaced_total"] == 1
        wait_until(lambda: metrics(front)["steelyard_workers_stalled"] == 0)
        assert not psutil.pid_exists(before[0])
        for _ in range(6):  # whoever waited in the stalled one's queue is served by its successor
            assert ask(front.addresses["gateway"], post(CHAT)).status == 200


def test_a_short_stall_is_counted_and_nobody_is_replaced(tmp_path: Path) -> None:
    with watched(tmp_path, workers=1) as front:
        (pid,) = worker_pids(front)
        stalls = metrics(front)["steelyard_event_loop_stalls_total"]
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: metrics(front)["steelyard_event_loop_stalls_total"] > stalls)
        assert ask(front.addresses["gateway"], post(CHAT)).status == 200
        assert worker_pids(front) == [pid]


def test_a_gateway_stopped_as_a_whole_goes_on_with_the_workers_it_had(tmp_path: Path) -> None:
    with watched(tmp_path) as front:
        before = worker_pids(front)
        everyone = [front.process.pid, *before]
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2 * TIMEOUT_S)
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)
        assert ask(front.addresses["gateway"], post(CHAT)).status == 200
        time.sleep(2 * TIMEOUT_S)
        assert worker_pids(front) == before
        assert metrics(front)["steelyard_stalled_workers_replaced_total"] == 0


def test_busy_processors_are_no_stall(tmp_path: Path) -> None:
    with watched(tmp_path) as front, contextlib.ExitStack() as stack:
        before = worker_pids(front)
        for _ in range(3 * (os.cpu_count() or 1)):
            burner = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(burner.kill)
        time.sleep(2 * TIMEOUT_S)
        assert ask(front.addresses["gateway"], post(CHAT)).status == 200
        assert worker_pids(front) == before
        assert metrics(front)["steelyard_stalled_workers_replaced_total"] == 0
