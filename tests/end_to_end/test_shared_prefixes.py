"""What one worker learned of prompts all workers use: cache hits over real sockets, one worker and two."""

import http.client
import json
from urllib.parse import urlsplit

from tests.harness.processes import Running, engines, gateway, metrics, wait_until

GROUPS, ROUNDS, ENGINES = 24, 4, 4
SHARED = 4_096  # bytes: four blocks


def in_flight(front: Running) -> float:
    """Requests on all replicas, as the workers' rows of the ledger say."""
    name = "steelyard_replica_requests_in_flight{"
    return sum(value for key, value in metrics(front).items() if key.startswith(name))


def ask(front: Running, group: int, turn: int) -> tuple[int, int]:
    """(prompt tokens, cached tokens) of one request on a connection of its own, as the engine counts them.

    Asked when nothing is in flight by the books: a worker hears up to a millisecond late what another one
    finished, and would rightly avoid a replica that it holds to be busy.
    """
    wait_until(lambda: not in_flight(front))
    parts = urlsplit(front.addresses["gateway"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    prompt = f"group {group} ".ljust(SHARED + 200, "x") + f" turn {turn}"
    body = {
        "model": "emulated", "max_tokens": 1, "messages": [{"role": "user", "content": prompt}]
    }  # fmt: skip
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    usage = json.loads(connection.getresponse().read())["usage"]
    connection.close()
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


def hit_share(workers: int) -> float:
    """Cached tokens of all prompt tokens, with fresh engines and a fresh gateway."""
    with engines(ENGINES) as running:
        urls = [each.addresses["engine"] for each in running]
        with gateway(*urls, options=("--workers", str(workers), "--seed", "3")) as front:
            wait_until(lambda: ask(front, -1, 0)[0] > 0)
            counts = [ask(front, group, turn) for turn in range(ROUNDS) for group in range(GROUPS)]
    return sum(cached for _, cached in counts) / sum(tokens for tokens, _ in counts)


def test_two_workers_hit_as_often_as_one() -> None:
    one, two = hit_share(1), hit_share(2)
    assert one > 0.6  # of four rounds the first finds nothing
    assert two >= 0.97 * one, (one, two)
