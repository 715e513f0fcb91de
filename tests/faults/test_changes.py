"""What changes round a gateway, rows 31, 32, 35: reloads under streams, broken files, forgetful engines."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from tests.end_to_end.fault_fleet import pool
from tests.harness.chaos_engine import (
    GOOD_BODY,
    LAST_CHUNK,
    STREAM_HEAD,
    Received,
    chaos_engines,
    chat_event,
    chunked,
    content_events,
    good,
)
from tests.harness.processes import Running, metrics, running, wait_until
from tests.harness.raw_client import Answer, ask, post, stream_post

CHAT = "/p/v1/chat/completions"
STREAMS, EVENTS = 12, 40


def slow_stream(client: socket.socket, request: Received) -> bool:
    """Two seconds of tokens, for those who want a stream."""
    if b'"stream":true' not in request.body:
        return good(client, request)
    client.sendall(STREAM_HEAD)
    for number in range(EVENTS):
        client.sendall(content_events(f"{number} "))
        time.sleep(0.05)
    client.sendall(chat_event("{}", '"stop"') + chunked(b"data: [DONE]\n\n") + LAST_CHUNK)
    return True


def configured(folder: Path, text: str) -> Path:
    path = folder / "steelyard.toml"
    path.write_text(f'listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\nworkers = 2\n{text}', encoding="utf-8")
    return path


def generation(front: Running) -> int:
    with urllib.request.urlopen(front.addresses["admin"] + "/status", timeout=10) as answer:
        return int(json.load(answer)["generation"])


def test_a_reload_cuts_no_stream_and_refuses_no_connection(tmp_path: Path) -> None:
    with chaos_engines(slow_stream) as (engine,):
        path = configured(tmp_path, pool("p", engine.url))
        with running("serve", str(path), listens=("gateway", "admin")) as front:
            url, heard = front.addresses["gateway"], list[Answer]()

            def listen() -> None:
                heard.append(ask(url, stream_post(CHAT)))

            listeners = [threading.Thread(target=listen) for _ in range(STREAMS)]
            for each in listeners:
                each.start()
            wait_until(lambda: len(engine.requests) == STREAMS)
            for number in (2, 3):
                front.process.send_signal(signal.SIGHUP)
                while generation(front) < number:
                    assert ask(url, post(CHAT)).body == GOOD_BODY  # a connection of its own each time
            for each in listeners:
                each.join()
            assert len(heard) == STREAMS
            for answer in heard:
                assert answer.whole
                assert answer.body.count(b'"content"') == EVENTS
                assert answer.body.endswith(b"data: [DONE]\n\n")
            assert metrics(front)["steelyard_cut_streams_total"] == 0


BROKEN = {
    "line": "[[pools]\n",
    "fastest": '[[pools]]\npolicy = "fastest"\n[[pools.replicas]]\nurl = "http://127.0.0.1:1"\n',
    "no replicas": "[[pools]]\n",
    "nowhere.pem": '[tls]\ncertificate_file = "nowhere.pem"\nkey_file = "nowhere.key"\n',
    "ftp://h:1": '[[pools]]\n[[pools.replicas]]\nurl = "ftp://h:1"\n',
}


def test_a_broken_configuration_is_refused_with_its_reason_while_the_old_one_serves(tmp_path: Path) -> None:
    with chaos_engines(good) as (engine,):
        sound = pool("p", engine.url)
        path = configured(tmp_path, sound)
        with running("serve", str(path), listens=("gateway", "admin")) as front:
            command = [sys.executable, "-m", "steelyard", "reload", "--admin", front.addresses["admin"]]
            for why, broken in BROKEN.items():
                configured(tmp_path, broken if "pools" in broken else broken + sound)
                said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
                assert (said.returncode, "Traceback" in said.stderr) == (2, False)
                assert why in said.stderr
                assert generation(front) == 1
                assert ask(front.addresses["gateway"], post(CHAT)).body == GOOD_BODY


def test_engines_that_forget_their_models_are_known_by_what_they_said_last(tmp_path: Path) -> None:
    known = b'{"object":"list","data":[{"id":"m"}]}'
    with chaos_engines(good) as (engine,):
        engine.probe_body = known
        text = pool("p", engine.url).replace("interval_s = 60", "interval_s = 0.1\nunhealthy_after = 2")
        path = configured(tmp_path, text)
        with running("serve", str(path), listens=("gateway", "admin")) as front:
            url = front.addresses["gateway"]
            unknown = post(CHAT, b'{"model":"other"}')
            wait_until(lambda: ask(url, unknown).status == 404)  # since then it knows what there is
            for stale in (b'{"object":"list","data":[]}', b"", b"[]", b"\0not JSON", b'{"data":[{"id":7}]}'):
                engine.probe_body = stale
                probed = time.monotonic() + 0.25
                wait_until(lambda until=probed: time.monotonic() > until)  # type: ignore[misc]  # mypy infers no default of a lambda
                assert ask(url, post(CHAT)).status == 200
                assert ask(url, unknown).status == 404
            front.process.send_signal(signal.SIGHUP)  # the next generation takes over what is known
            wait_until(lambda: generation(front) == 2)
            assert ask(url, post(CHAT)).status == 200
            assert ask(url, unknown).status == 404
            engine.die()
            with contextlib.suppress(OSError):
                ask(url, post(CHAT))
            engine.revive()
            wait_until(lambda: ask(url, post(CHAT)).status == 200)
            assert ask(url, unknown).status == 404
