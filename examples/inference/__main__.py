"""`python -m examples.inference`: streamed chats through the gateway to two engines; one is killed midway."""

import asyncio
import contextlib
import random
import sys
import tempfile
from pathlib import Path

from examples.processes import fitted, running

from steelyard.replay.report import ReplayReport, summarise
from steelyard.replay.run import replay
from steelyard.reports.objectives import Objective
from steelyard.traces.generator import generate_conversation

HERE = Path(__file__).parent
REQUESTS, RATE_PER_S, MODEL = 240, 30.0, "emulated"
TIME_SCALE = 8.0
OBJECTIVE = Objective(ttft_s=1.0, tpot_s=0.1)


def main() -> int:
    """0 when every stream came whole, though an engine died with a part of them half given."""
    chats = generate_conversation(REQUESTS, random.Random(5), RATE_PER_S)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-example-")))
        engine = ("engine", "--port", "0", "--time-scale", str(TIME_SCALE), "--model", MODEL)
        engines = [stack.enter_context(running(*engine, names=("engine",))) for _ in range(2)]
        places = {
            "http://127.0.0.1:8000": engines[0][1]["engine"],
            "http://127.0.0.1:8001": engines[1][1]["engine"],
        }
        serve = ("serve", str(fitted(HERE / "inference.toml", places, folder)))
        ports = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1")
        _, gateway = stack.enter_context(running(*serve, *ports, names=("gateway", "admin")))
        print(f"{REQUESTS} streamed chats, {RATE_PER_S:g} a second, over two engines", flush=True)
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            if done == REQUESTS // 3:
                print(f"{done} answered: an engine is killed", flush=True)
                engines[0][0].kill()

        outcomes, took_s = asyncio.run(replay(chats, gateway["gateway"], model=MODEL, done=count))
    report = summarise(outcomes, took_s, OBJECTIVE)
    print(told(report), flush=True)
    whole = report.kinds.get("ok", 0) == REQUESTS
    print("every stream came whole" if whole else f"NOT whole: {report.first_errors}", flush=True)
    return 0 if whole else 1


def told(report: ReplayReport) -> str:
    """The figures."""
    return (
        f"TTFT p50 {report.ttft_s.p50 * 1e3:.0f} ms, p99 {report.ttft_s.p99 * 1e3:.0f} ms; "
        f"{report.goodput_share:.1%} within {OBJECTIVE.ttft_s:g} s to the first token and "
        f"{OBJECTIVE.tpot_s:g} s a token"
    )


if __name__ == "__main__":
    sys.exit(main())
