"""A gateway that follows an engine's cache events: what the engine loses, the gateway forgets at once."""

import json
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("zmq", reason="needs pyzmq: pip install 'steelyard[kv-events]'")

from tests.harness.kv_publisher import Publisher, PublishingEngine
from tests.harness.processes import Running, metrics, running, wait_until

CONFIGURATION = """
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 1
pick_header = true
[[pools]]
kv_events_topic = "kv"
[[pools.replicas]]
url = "{url}"
kv_events = "{events}"
kv_replay = "{replay}"
"""


def ask(front: Running, text: str) -> str:
    """Ask; what the gateway says of its pick."""
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(
        front.addresses["gateway"] + "/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()
        return str(answer.headers["X-Steelyard-Pick"])


def test_evictions_are_followed_and_counted(tmp_path: Path) -> None:
    with Publisher() as publisher, PublishingEngine(publisher) as engine:
        path = tmp_path / "steelyard.toml"
        path.write_text(
            CONFIGURATION.format(url=engine.url, events=publisher.endpoint, replay=publisher.replay)
        )
        with running("serve", str(path), listens=("gateway", "admin")) as front:
            wait_until(publisher.subscribed.is_set)
            text = "a prompt of many words, " * 400
            assert "prefix" not in ask(front, text)
            assert "prefix" in ask(front, text)
            wait_until(lambda: engine.tokenized > 0)
            # The first is tied before the second is asked for.
            ask(front, "another prompt " * 400)
            wait_until(lambda: engine.tokenized > 1)
            engine.evict(list(engine.cached))
            wait_until(lambda: metrics(front).get("steelyard_kv_event_batches_total", 0) >= 3)
            wait_until(lambda: "prefix" not in ask(front, text))
            assert metrics(front)["steelyard_kv_event_gaps_total"] == 0
