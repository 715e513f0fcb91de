"""Active health probes, made by the supervisor so that workers never wait for one.

A replica is called unhealthy only after several failed probes in a row: a busy engine answers late, and one
late answer says nothing. A refused connection says more, but traffic meets that at once and
ejects the replica by itself. A replica whose models are not configured is asked for them.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import msgspec

from steelyard.cluster.membership import ReplicaState
from steelyard.config.schema import HealthOptions
from steelyard.gateway.fleet_table import Row
from steelyard.gateway.tls import NO_LINK, EngineLink, port_of
from steelyard.model.errors import UpstreamError, reason_of
from steelyard.wire.chunked import ChunkedReader, MalformedChunk
from steelyard.wire.http1_head import HEAD_END, ResponseHead, parse_response_head

MAX_ANSWER_BYTES = 1 << 20


async def fetch(
    url: str, timeout_s: float, link: EngineLink = NO_LINK, body: bytes = b""
) -> tuple[int, bytes]:
    """GET a small answer, or POST a JSON body for one: (status, body).

    Raises OSError, TimeoutError or UpstreamError.
    """
    parts = urlsplit(url)
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(
            parts.hostname,
            port_of(url),
            limit=MAX_ANSWER_BYTES,
            ssl=link.context,
            server_hostname=link.server_name,
        )
        try:
            target = parts.path or "/"
            key = link.key_line + b"\r\n" if link.key else b""
            method, about = "GET", ""
            if body:
                method = "POST"
                about = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            head = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n{about}"
            writer.write(head.encode() + key + b"\r\n" + body)
            answer = parse_response_head(await reader.readuntil(HEAD_END))
            return answer.status, await _read_body(reader, answer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise UpstreamError("the connection closed inside the answer") from None
        except MalformedChunk as error:
            raise UpstreamError(str(error)) from None
        finally:
            writer.transport.abort()


async def _read_body(reader: asyncio.StreamReader, head: ResponseHead) -> bytes:
    """The whole body, or its first `MAX_ANSWER_BYTES`; one read gives only what has come so far."""
    if head.content_length >= 0:
        return await reader.readexactly(min(head.content_length, MAX_ANSWER_BYTES))
    chunks = ChunkedReader() if head.chunked else None
    body = b""
    while len(body) < MAX_ANSWER_BYTES and not (chunks is not None and chunks.done):
        data = await reader.read(65_536)
        if not data:
            if chunks is not None:
                raise UpstreamError("the connection closed inside the answer")
            break
        body += chunks.feed(data) if chunks is not None else data
    return body


def read_models(body: bytes) -> tuple[str, ...]:
    """Names from an OpenAI list of models; () when it is none."""
    try:
        answer: Any = msgspec.json.decode(body)
        names = [entry["id"] for entry in answer["data"]]
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
        return ()
    return tuple(name for name in names if isinstance(name, str))[:256]


@dataclass(slots=True)
class Probe:
    """What the probes of one replica have said so far."""

    row: Row
    options: HealthOptions
    asks_for_models: bool
    link: EngineLink = NO_LINK
    failures: int = 0
    successes: int = 0
    last_error: str = ""

    async def run_once(self) -> bool:
        """Probe; whether the row changed."""
        replica = self.row.replica
        if replica is None:
            return False
        try:
            status, _ = await fetch(replica.base_url + self.options.path, self.options.timeout_s, self.link)
            error = "" if status < 400 else f"{self.options.path} answered {status}"
            changed = not error and self.asks_for_models and await self._ask_for_models()
        except TimeoutError:
            error, changed = f"no answer within {self.options.timeout_s:g} s", False
        except (OSError, UpstreamError) as problem:
            error, changed = reason_of(problem), False
        self.last_error = error
        return self._judge(error == "") or changed

    async def _ask_for_models(self) -> bool:
        replica = self.row.replica
        if replica is None or replica.models:
            return False
        status, body = await fetch(f"{replica.base_url}/v1/models", self.options.timeout_s, self.link)
        models = read_models(body) if status == 200 else ()
        if models:
            self.row.replica = replace(replica, models=models)
        return bool(models)

    def _judge(self, succeeded: bool) -> bool:
        self.failures = 0 if succeeded else self.failures + 1
        self.successes = self.successes + 1 if succeeded else 0
        state = self.row.state
        if state is ReplicaState.DRAINING:
            return False
        if succeeded and self.successes >= self.options.healthy_after:
            self.row.state = ReplicaState.HEALTHY
        elif not succeeded and self.failures >= self.options.unhealthy_after:
            self.row.state = ReplicaState.UNHEALTHY
        return self.row.state is not state
