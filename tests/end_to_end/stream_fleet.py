"""A gateway that keeps streams alive, and what its clients hear."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.chaos_engine import STREAM_HEAD, content_events, stream_of
from tests.harness.processes import Running, configured_gateway
from tests.harness.raw_client import Answer, ask, post
from tests.harness.stream_choices import hear

CHAT = "/v1/chat/completions"
_POOL = """
workers = 1
[[pools]]
policy = "least-requests"
[pools.health]
interval_s = 60
[pools.outlier]
consecutive_failures = 100000
[pools.timeouts]
first_token_timeout_s = 5
between_tokens_timeout_s = {between_s}
[pools.streams]
"""


@contextlib.contextmanager
def gateway_to(folder: Path, *urls: str, streams: str = "", between_s: float = 5) -> Iterator[Running]:
    text = _POOL.format(between_s=between_s) + streams + "\n"
    text += "".join(f'[[pools.replicas]]\nurl = "{url}"\nid = "e{at}"\n' for at, url in enumerate(urls))
    with configured_gateway(folder, text) as front:
        yield front


@dataclass(slots=True)
class Heard:
    """What a client heard of a stream."""

    text: str = ""
    ids: set[str] = field(default_factory=set)
    roles: int = 0
    finish: list[str] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    done: int = 0
    errors: list[str] = field(default_factory=list)


def heard(answer: Answer) -> Heard:
    found = Heard()
    for part in answer.body.split(b"\n\n"):
        data = part.lstrip(b"\n").removeprefix(b"data: ")
        if data == b"[DONE]":
            found.done += 1
        if not data.startswith(b"{"):
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            found.errors.append(chunk["error"]["message"])
            continue
        found.ids.add(chunk["id"])
        if usage := chunk.get("usage"):
            found.usage = {
                name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")
            }
        hear(found, chunk["choices"])
    return found


def asked(front: Running, body: dict[str, Any], path: str = CHAT) -> Answer:
    return ask(front.addresses["gateway"], post(path, json.dumps(body).encode()), timeout_s=60)


PLAIN: dict[str, Any] = {"stream": True, "messages": [{"role": "user", "content": "x"}]}
ONE_TWO = STREAM_HEAD + content_events("one ", "two ")
WHOLE = stream_of(["one ", "two ", "three"])
