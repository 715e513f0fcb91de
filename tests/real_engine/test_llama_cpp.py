"""The gateway before llama.cpp: what clients of a real engine rely on, also when it dies in mid-answer."""

import contextlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from tests.harness.processes import Running, configured_gateway, metrics, wait_until
from tests.real_engine.conftest import RealEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]
LONG = 1_200
BUSY = "llamacpp:requests_processing "
WORDS: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "tell me more"}]
_POOL = """
workers = 1
[[pools]]
policy = "least-requests"
[pools.streams]
engine = "{engine}"
"""


@contextlib.contextmanager
def front_of(folder: Path, engines: list[RealEngine], engine: str = "llama.cpp") -> Iterator[Running]:
    replicas = (f'[[pools.replicas]]\nurl = "{each.url}"\nid = "e{at}"\n' for at, each in enumerate(engines))
    with configured_gateway(folder, _POOL.format(engine=engine) + "".join(replicas)) as front:
        wait_until(lambda: b"tiny" in get(front.addresses["gateway"] + "/v1/models"))
        yield front


@pytest.fixture
def front(tmp_path: Path, engines: list[RealEngine]) -> Iterator[Running]:
    with front_of(tmp_path, engines) as running:
        yield running


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def client_of(front: Running) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=front.addresses["gateway"] + "/v1", api_key="none", max_retries=0, timeout=60
    )


def model_of(client: openai.OpenAI) -> str:
    return next(iter(client.models.list())).id


def busy(engine: RealEngine) -> int:
    lines = get(engine.url + "/metrics").decode().splitlines()
    return int(
        float(next(line.split()[-1] for line in lines if line.startswith("llamacpp:requests_processing ")))
    )


def test_chat_whole_and_streamed_say_the_same_and_count_the_same(front: Running) -> None:
    with client_of(front) as client:
        model = model_of(client)
        whole = client.chat.completions.create(model=model, messages=WORDS, max_tokens=40, temperature=0)
        stream = client.chat.completions.create(
            model=model,
            messages=WORDS,
            max_tokens=40,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(text) == 40
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 40
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


def test_completions_whole_and_streamed_say_the_same(front: Running) -> None:
    with client_of(front) as client:
        model = model_of(client)
        whole = client.completions.create(model=model, prompt="once upon", max_tokens=30, temperature=0)
        stream = client.completions.create(
            model=model, prompt="once upon", max_tokens=30, temperature=0, stream=True
        )
        text = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    assert text == whole.choices[0].text
    assert len(text) == 30


def test_a_client_that_leaves_ends_the_engines_work(front: Running, engines: list[RealEngine]) -> None:
    with client_of(front) as client:
        stream = client.chat.completions.create(
            model=model_of(client), messages=WORDS, max_tokens=LONG, temperature=0, stream=True
        )
        next(iter(stream))
        stream.close()
    wait_until(lambda: sum(map(busy, engines)) == 0, timeout_s=5)


def test_a_drained_engine_gets_nothing_new(front: Running) -> None:
    url = front.addresses["admin"] + "/replicas/e0/drain"
    urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10).close()
    served = 'steelyard_replica_requests_total{{replica="{}",outcome="ok"}}'
    with client_of(front) as client:
        model = model_of(client)

        def only_the_other() -> bool:
            before = metrics(front)[served.format("e0")]
            for _ in range(4):
                client.chat.completions.create(model=model, messages=WORDS, max_tokens=2)
            return metrics(front)[served.format("e0")] == before

        wait_until(only_the_other)


@pytest.mark.parametrize("engine", ["llama.cpp", ""])
@pytest.mark.parametrize("chat", [True, False])
def test_a_stream_whose_engine_was_killed_says_what_an_unbroken_one_says(
    tmp_path: Path, engines: list[RealEngine], engine: str, chat: bool
) -> None:
    with front_of(tmp_path, engines, engine) as front, client_of(front) as client:
        model = model_of(client)
        pieces: list[list[str]] = []
        usages = []
        for kills in (False, True):
            said: list[str] = []
            for text, usage in streamed(client, model, chat=chat):
                said += [text] if text else []
                usages += [usage] if usage is not None else []
                if kills and len(said) == 50:
                    (victim,) = (each for each in engines if busy(each))
                    victim.kill()
            pieces.append(said)
        assert len("".join(pieces[0])) == LONG
        assert "".join(pieces[1]) == "".join(pieces[0])
        assert usages[1] == usages[0]
        assert metrics(front)["steelyard_stream_continuations_total"] == 1


def streamed(
    client: openai.OpenAI, model: str, *, chat: bool
) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """(a piece of text, the usage) of each event of a long greedy answer."""
    usage: openai.types.CompletionUsage | None
    if chat:
        for part in client.chat.completions.create(
            model=model,
            messages=WORDS,
            max_tokens=LONG,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        ):
            usage = part.usage
            text = (part.choices[0].delta.content or "") if part.choices else ""
            yield text, None if usage is None else (usage.prompt_tokens, usage.completion_tokens)
        return
    for piece in client.completions.create(
        model=model,
        prompt="once upon",
        max_tokens=LONG,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    ):
        usage = piece.usage
        text = piece.choices[0].text if piece.choices else ""
        yield text, None if usage is None else (usage.prompt_tokens, usage.completion_tokens)
