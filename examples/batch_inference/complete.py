"""One shard of a batch: its range of prompts, sent to an OpenAI-compatible endpoint, each answered once.

Answers are appended to a file, a line each, flushed before the prompt counts as done. When it starts again it
reads them back and asks for the rest only: what a kill can cost is the prompts in flight. SIGTERM lets those
finish and takes no more. Standard library only.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

START_ME_AGAIN = 75
IN_FLIGHT = 4
TRIES = 5


def finished(path: Path) -> set[int]:
    """Prompts that have their answer; a last line that a kill cut is taken away."""
    if not path.exists():
        return set()
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return {json.loads(line)["prompt"] for line in whole.splitlines()}


def ask(endpoint: str, text: str) -> str:
    """One completion. Raises OSError when the endpoint keeps failing."""
    body = {"model": "emulated", "prompt": text, "max_tokens": 24}
    request = urllib.request.Request(
        f"{endpoint}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    for left in reversed(range(TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(json.load(answer)["choices"][0]["text"])
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise
            if not left:
                raise
            time.sleep(float(error.headers.get("Retry-After", "0.5")))
        except OSError:
            if not left:
                raise
            time.sleep(0.5)
    raise AssertionError("unreachable")


def main() -> int:
    """Answer the shard's prompts; 75 when the endpoint is gone."""
    first, end = int(os.environ["STEELYARD_SHARD_FIRST"]), int(os.environ["STEELYARD_SHARD_END"])
    prompts = Path("prompts.txt").read_text().splitlines()
    path = Path("answers") / f"{os.environ['STEELYARD_SHARD']}.jsonl"
    path.parent.mkdir(exist_ok=True)
    done = finished(path)
    print(f"prompts {first} to {end - 1}, {len(done)} of them answered before", flush=True)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(first, end):
        if number not in done:
            waiting.put(number)
    asked, failures, writing = threading.Event(), [], threading.Lock()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())

    def work() -> None:
        while not asked.is_set() and not failures:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                line = json.dumps({"prompt": number, "answer": ask(os.environ["ENDPOINT"], prompts[number])})
            except OSError as error:
                failures.append(error)
                return
            with writing:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())

    with path.open("a") as file:
        workers = [threading.Thread(target=work) for _ in range(IN_FLIGHT)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    if failures:
        print(f"{os.environ['ENDPOINT']}: {failures[0]}", flush=True)
        return START_ME_AGAIN
    print("stopped" if asked.is_set() else "all answered", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
