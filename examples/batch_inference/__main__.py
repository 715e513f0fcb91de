"""`python -m examples.batch_inference`: prompts through the gateway; a node and an engine are killed."""

import contextlib
import json
import os
import shutil
import sys
import urllib.request
from pathlib import Path

from examples.processes import running
from examples.service import jobs_service, until

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "out" / "batch"
PROMPTS = 400
SHARDS = range(4)


def sent(admin: str) -> int:
    """Requests that the gateway has answered well."""
    with urllib.request.urlopen(f"{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("steelyard_requests_total") and 'status="2xx"' in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in found)


def main() -> int:
    """0 when every prompt has one answer, and no finished prompt was asked again."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    (OUT / "prompts.txt").write_text("".join(f"Tell me about the number {n}.\n" for n in range(PROMPTS)))
    with contextlib.ExitStack() as stack:
        engine = ("engine", "--port", "0", "--time-scale", "4")
        engines = [stack.enter_context(running(*engine, names=("engine",))) for _ in range(2)]
        named = [word for _, places in engines for word in ("--engine", places["engine"])]
        listen = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1")
        gateway = ("serve", *named, *listen)
        _, places = stack.enter_context(running(*gateway, names=("gateway", "admin")))
        os.environ["ENDPOINT"] = places["gateway"]
        service = stack.enter_context(jobs_service())
        job_id = service.submit(HERE / "batch.toml")
        until(lambda: sent(places["admin"]) > PROMPTS // 4, "a quarter of the prompts is answered")
        print(f"{sent(places['admin'])} prompts answered: node A and an engine are killed", flush=True)
        service.kill_node("A")
        engines[0][0].kill()
        service.wait(job_id)
        again = sum(service.log(job_id, shard).count("answered before") > 1 for shard in SHARDS)
        total = sent(places["admin"])
    answers = [json.loads(line) for line in (OUT / "answers.jsonl").read_text().splitlines()]
    print(
        f"{again} shards started again; {len(answers)} answers to {PROMPTS} prompts, {total} asked",
        flush=True,
    )
    # Two shards of four requests in flight each were killed: those, and no others, may be asked twice.
    once = [line["prompt"] for line in answers] == list(range(PROMPTS)) and total <= PROMPTS + 8
    print("no finished prompt was asked again" if once and again else "NOT as it should be", flush=True)
    return 0 if once and again else 1


if __name__ == "__main__":
    sys.exit(main())
