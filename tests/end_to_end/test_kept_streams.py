"""Streams whose engines die are, letter by letter, what one engine that never died would have given.

The engines are real processes; a proxy before each resets its connections at random times, which is what
the gateway sees of a killed process. One test kills processes. STEELYARD_KILLS sets how many streams are
broken (40 in CI; 1,000 is the figure that the documentation gives).
"""

import contextlib
import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.stream_fleet import CHAT, ONE_TWO, PLAIN, WHOLE, Heard, asked, gateway_to, heard
from tests.harness.chaos_engine import (
    LAST_CHUNK,
    Behaviour,
    ChaosEngine,
    chaos_engines,
    chunked,
    in_turn,
    says,
    says_and_hangs,
    says_and_resets,
    stream_of,
)
from tests.harness.chaos_proxy import ChaosProxy, chaos_proxy
from tests.harness.processes import Running, engines, metrics, wait_until
from tests.harness.raw_client import Answer

from steelyard.emulator import api
from steelyard.engines.text import tokens

KILLS = int(os.environ.get("STEELYARD_KILLS", "40"))
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def request(number: int, *, chat: bool, limit: int | None = 60) -> dict[str, Any]:
    words = f"request {number} "
    prompt = {"messages": [{"role": "user", "content": words}]} if chat else {"prompt": words}
    fields: dict[str, Any] = {"model": "emulated", "stream": True, "stream_options": {"include_usage": True}}
    return fields | prompt | ({} if limit is None else {"max_tokens": limit})


def expected(body: dict[str, Any], *, chat: bool) -> Heard:
    understood = api.understand(json.dumps(body).encode(), "emulated", chat=chat)
    usage = api.usage(understood, understood.output_tokens, 0)
    counts = {name: usage[name] for name in COUNTS}
    return Heard(
        "".join(tokens(understood.prompt, understood.output_tokens)),
        set(),
        int(chat),
        [understood.finish],
        counts,
        1,
    )


def check_whole(answer: Answer, body: dict[str, Any], *, chat: bool) -> None:
    found, wanted = heard(answer), expected(body, chat=chat)
    assert (answer.status, answer.whole, found.errors, len(found.ids)) == (200, True, [], 1)
    found.ids.clear()
    assert found == wanted


class Reaper:
    """Resets all connections of one proxy after another, at random times, until stopped."""

    def __init__(self, proxies: list[ChaosProxy], pause_s: float, seed: int) -> None:
        self._proxies, self._pause_s, self._rng = proxies, pause_s, random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Reaper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s * self._rng.uniform(0.5, 1.5)):
            self._rng.choice(self._proxies).kill_connections()


WAYS = [("vllm", "asked", True), ("", "never", True), ("llama.cpp", "always", True), ("", "never", False)]


@pytest.mark.parametrize(("engine", "continues", "chat"), WAYS)
def test_no_letter_is_repeated_or_missing_however_often_engines_die(
    tmp_path: Path, engine: str, continues: str, chat: bool
) -> None:
    path = CHAT if chat else "/v1/completions"
    streams = f'engine = "{engine}"\nmax_continuations = 100000'
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(engines(3, "--continues", continues))
        proxies = [stack.enter_context(chaos_proxy(each.addresses["engine"])) for each in running]
        front = stack.enter_context(gateway_to(tmp_path, *(each.url for each in proxies), streams=streams))
        numbers = iter(range(1_000_000))
        failures: list[BaseException] = []

        def broken() -> float:
            return metrics(front)["steelyard_stream_continuations_total"]

        def client() -> None:
            try:
                while broken() < KILLS / len(WAYS):
                    number = next(numbers)
                    body = request(number, chat=chat, limit=None if number % 3 == 0 else 60)
                    check_whole(asked(front, body, path), body, chat=chat)
            except BaseException as failure:  # noqa: BLE001  handed to the test's own thread
                failures.append(failure)

        with Reaper(proxies, 0.12, seed=7):
            clients = [threading.Thread(target=client) for _ in range(6)]
            for each in clients:
                each.start()
            for each in clients:
                each.join()
        assert not failures, failures[0]
        counts = metrics(front)
        assert counts["steelyard_stream_continuations_total"] >= KILLS / len(WAYS)
        assert counts["steelyard_cut_streams_total"] == 0
        cause = "continued" if engine or not chat else "replayed"
        assert counts[f'steelyard_wasted_tokens_total{{cause="{cause}"}}'] > 0


def generated(engine: Running) -> float:
    counts = metrics(engine, "engine")
    return sum(count for name, count in counts.items() if name.startswith("vllm:generation_tokens_total"))


def test_a_killed_process_is_survived(tmp_path: Path) -> None:
    with engines(2, "--time-scale", "4") as running:
        urls = [each.addresses["engine"] for each in running]
        with gateway_to(tmp_path, *urls, streams='engine = "vllm"') as front:
            body = request(1, chat=True, limit=200)
            answers: list[Answer] = []
            client = threading.Thread(target=lambda: answers.append(asked(front, body)))
            client.start()
            in_flight = 'steelyard_replica_requests_in_flight{{replica="e{}"}}'

            def serving() -> list[int]:
                counts = metrics(front)
                return [at for at in range(2) if counts[in_flight.format(at)]]

            wait_until(lambda: bool(serving()))
            (victim,) = serving()
            wait_until(lambda: generated(running[victim]) > 5)
            running[victim].process.send_signal(signal.SIGKILL)
            client.join()
            check_whole(answers[0], body, chat=True)
            assert metrics(front)["steelyard_stream_continuations_total"] == 1


# --- engines that misbehave in other ways --------------------------------------------------------

UNFRAMED = b"".join(line for line in ONE_TWO.split(b"\r\n") if line.startswith(b"data:"))
DEAD = b'data: {"error":{"message":"dead","code":500}}\n\n'
FAULTS: dict[str, Behaviour] = {
    "resets": says_and_resets(ONE_TWO),
    "closes": says(ONE_TWO),
    "hangs": says_and_hangs(ONE_TWO),
    "breaks a chunk": says(ONE_TWO, b"zz\r\n"),
    "stops inside an event": says_and_resets(ONE_TWO + chunked(b'data: {"id":"c1","choi')),
    "ends its body inside an event": says(
        ONE_TWO + chunked(b'data: {"id":"c1","choi') + LAST_CHUNK, stays=True
    ),
    "closes a body that has no other end": says(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + UNFRAMED
    ),
    "says no JSON": says_and_hangs(ONE_TWO + chunked(b"data: {nonsense\n\n")),
    "says a list": says_and_hangs(ONE_TWO + chunked(b"data: [1]\n\n")),
    "says choices that are none": says_and_hangs(ONE_TWO + chunked(b'data: {"id":"c1","choices":5}\n\n')),
    "says a delta that is none": says_and_hangs(
        ONE_TWO + chunked(b'data: {"id":"c1","choices":[{"index":0,"delta":[]}]}\n\n')
    ),
    "reports an error": says_and_hangs(
        ONE_TWO + chunked(b'data: {"error":{"message":"dead","code":500}}\n\n')
    ),
    "an event without end": says_and_hangs(ONE_TWO + chunked(b"data: " + b"x" * 2_000_000) * 2),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_breaks_a_stream_another_engine_goes_on(
    shared: tuple[Running, list[ChaosEngine]], fault: Behaviour
) -> None:
    front, both = shared
    both[0].behaviour = both[1].behaviour = in_turn(fault, WHOLE)
    answer = asked(front, PLAIN)
    found = heard(answer)
    assert (answer.whole, found.text, found.errors) == (True, "one two three", [])
    assert (found.done, found.finish, found.ids) == (1, ["stop"], {"c1"})
    assert len(answer.body.split(b"\n\n")) == 6  # and nothing else
    assert asked(front, PLAIN).whole


@pytest.mark.parametrize(
    ("next_one", "why"),
    [(stream_of(["one ", "too "]), "something else"), (stream_of(["one "]), "said less")],
)
def test_another_text_ends_in_an_error_and_never_looks_whole(
    shared: tuple[Running, list[ChaosEngine]], next_one: Behaviour, why: str
) -> None:
    front, both = shared
    both[0].behaviour = both[1].behaviour = in_turn(says_and_resets(ONE_TWO), next_one)
    answer = asked(front, PLAIN)
    found = heard(answer)
    assert (answer.whole, found.text, found.done) == (False, "one two ", 0)
    assert why in found.errors[0]


def test_a_refused_way_is_remembered_and_never_shown(tmp_path: Path) -> None:
    refuses = says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno", stays=True)
    dies = says_and_resets(ONE_TWO)
    turns = in_turn(dies, refuses, WHOLE, dies, WHOLE)
    with (
        chaos_engines(turns) as (engine,),
        gateway_to(tmp_path, engine.url, streams='engine = "vllm"') as front,
    ):
        for _ in range(2):
            answer = asked(front, PLAIN)
            assert (answer.whole, heard(answer).text) == (True, "one two three")
        told = [b"continue_final_message" in each.body for each in engine.requests]
        assert told == [False, True, False, False, False]


@pytest.mark.parametrize(("mode", "whole"), [("off", False), ("auto", False), ("on", True)])
def test_chance_is_repeated_only_when_told_to(tmp_path: Path, mode: str, whole: bool) -> None:
    turns = in_turn(says_and_resets(ONE_TWO), WHOLE)
    with (
        chaos_engines(turns, turns) as (first, second),
        gateway_to(tmp_path, first.url, second.url, streams=f'continuation = "{mode}"') as front,
    ):
        answer = asked(front, PLAIN | {"temperature": 1})
        assert answer.whole is whole
        assert (heard(answer).errors == []) is whole


def test_a_crawling_stream_moves_to_another_engine(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(engines(2))
        proxies = [stack.enter_context(chaos_proxy(each.addresses["engine"])) for each in running]
        streams = 'engine = "vllm"\nslow_factor = 20\nslow_window_s = 0.5'
        front = stack.enter_context(
            gateway_to(tmp_path, *(each.url for each in proxies), streams=streams, between_s=60)
        )
        for number in range(16):
            body = request(number, chat=True)
            check_whole(asked(front, body), body, chat=True)
        spoil = proxies[0].to_client
        spoil.bytes_per_s, spoil.piece_bytes = 2_000, 256  # 8 tokens a second, where 300 are usual

        def client(number: int) -> None:
            body = request(number, chat=True, limit=300)
            check_whole(asked(front, body), body, chat=True)

        started_s = time.monotonic()
        with ThreadPoolExecutor(2) as clients:
            for done in [clients.submit(client, number) for number in (100, 101)]:
                done.result()
        assert time.monotonic() - started_s < 15  # unmoved, it would take 37 s
        assert metrics(front)["steelyard_stream_continuations_total"] >= 1
