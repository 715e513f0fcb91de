"""Programs that the demo runs on nodes: `python -m steelyard.demo.seed_task work|load ...`.

`work STEPS STEP_S` does so many steps of training and keeps its progress in a checkpoint after each.
`load CORES BYTES` uses so much of its node until it is ended: another tenant of the machine.
"""

import os
import signal
import sys
import time

from steelyard.jobs.checkpoints import Checkpoints

SLICE_S = 0.05
MAX_DEBT_S = 0.02  # what a busy machine kept from us is not made up for by a burst


def work(steps: int, step_s: float) -> None:
    """Train, in the way of one who may be interrupted at any time."""
    checkpoints = Checkpoints.from_environment()
    found = checkpoints.load()
    done = found.step if found is not None else 0
    leaving = False

    def leave(number: int, frame: object) -> None:
        nonlocal leaving
        leaving = True

    signal.signal(signal.SIGTERM, leave)
    node = os.environ.get("STEELYARD_NODE", "?")
    print(f"{node}: goes on after step {done} of {steps}", flush=True)
    while done < steps and not leaving:
        time.sleep(step_s)
        done += 1
        checkpoints.save(done, str(done).encode())
    print(f"{node}: {'stopped' if done < steps else 'finished'} after step {done} of {steps}", flush=True)


def load(cores: float, size_bytes: int) -> None:
    """Use a share of a core, measured by our own processor time, and hold memory."""
    held = bytearray(size_bytes)
    held[::4096] = b"\1" * len(held[::4096])  # touched, so that it counts
    debt_s = 0.0
    while True:
        began_s, used_s = time.monotonic(), time.process_time()
        while time.process_time() - used_s < min(debt_s, MAX_DEBT_S + cores * SLICE_S):
            sum(range(200))
        time.sleep(SLICE_S)
        debt_s += cores * (time.monotonic() - began_s) - (time.process_time() - used_s)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work(int(sys.argv[2]), float(sys.argv[3]))
    else:
        load(float(sys.argv[2]), int(sys.argv[3]))
