"""Reload, rolling restart and upgrade under load: nothing lost, nothing refused, nothing cut."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.load import Load
from tests.harness.processes import Running, engines, metrics, running, wait_until

from steelyard.runtime import audit_log

CONFIGURATION = """
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = {workers}
[admin_access]
audit_log = "{folder}/audit.log"
[[pools]]
{replicas}
"""


def write(folder: Path, urls: list[str], workers: int = 2, more: str = "") -> Path:
    path = folder / "steelyard.toml"
    replicas = "\n".join(f'[[pools.replicas]]\nurl = "{url}"' for url in urls)
    path.write_text(CONFIGURATION.format(workers=workers, folder=folder, replicas=replicas) + more)
    return path


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    with engines(2) as fleet:
        yield [each.addresses["engine"] for each in fleet]


@pytest.fixture
def front(urls: list[str], tmp_path: Path) -> Iterator[Running]:
    with running("serve", str(write(tmp_path, urls)), listens=("gateway", "admin")) as child:
        yield child


def ask(front: Running, path: str, method: str = "GET") -> dict[str, object]:
    request = urllib.request.Request(front.addresses["admin"] + path, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        said: dict[str, object] = json.loads(answer.read())
        return said


def served(front: Running) -> float:
    return sum(value for name, value in metrics(front).items() if name.startswith("steelyard_requests_total"))


def test_reloads_and_restarts_under_load_lose_nothing(
    front: Running, urls: list[str], tmp_path: Path
) -> None:
    before = ask(front, "/status")
    with Load(front.addresses["gateway"], rate_per_s=200, streams=20) as load:
        load.wait_for(100)
        front.process.send_signal(signal.SIGHUP)
        wait_until(lambda: ask(front, "/status")["generation"] == 2)
        load.wait_for(100)
        write(tmp_path, urls[:1], workers=1)  # fewer workers, one replica less
        ask(front, "/reload", "POST")
        load.wait_for(100)
        write(tmp_path, urls, workers=3)
        ask(front, "/reload", "POST")
        load.wait_for(100)
        ask(front, "/workers/restart", "POST")
        load.wait_for(100)
    assert load.outcome.failures == []
    assert load.outcome.streams >= 20
    after = ask(front, "/status")
    assert after["generation"] == 4
    assert not set(before["workers"]) & set(after["workers"])  # type: ignore[call-overload]  # JSON
    wait_until(lambda: ask(front, "/status")["retiring"] == [])
    assert served(front) >= load.outcome.done + load.outcome.streams  # totals did not fall
    assert front.stop() == 0


def test_a_broken_configuration_is_refused_with_its_reason_and_the_old_one_serves(
    front: Running, urls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "steelyard.toml").write_text("[[pools]]\nplicy = 3\n")
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(front, "/reload", "POST")
    assert refused.value.code == 409
    assert "did you mean 'policy'?" in refused.value.read().decode()
    write(tmp_path, urls, more='[tls]\ncertificate_file = "nowhere.pem"\nkey_file = "nowhere.key"\n')
    front.process.send_signal(signal.SIGHUP)
    audit = tmp_path / "audit.log"
    wait_until(lambda: "signal: reload" in audit.read_text() and "nowhere.pem" in audit.read_text())
    write(tmp_path, urls)
    with Load(front.addresses["gateway"], connections=4, rate_per_s=100) as load:
        load.wait_for(50)
    assert load.outcome.failures == []
    assert ask(front, "/status")["generation"] == 1
    assert audit_log.verify(audit) == 4


def test_an_upgrade_under_load_loses_nothing(front: Running, urls: list[str]) -> None:
    old = ask(front, "/status")["pid"]
    with Load(front.addresses["gateway"], rate_per_s=200, streams=20) as load:
        load.wait_for(100)
        new = ask(front, "/upgrade", "POST")["pid"]
        assert isinstance(new, int)
        try:
            load.wait_for(100)
            wait_until(lambda: front.process.poll() is not None, 60)
            load.wait_for(100)
            assert ask(front, "/status")["pid"] == new != old
        finally:
            load._stopped.set()
            load._thread.join(60)
            os.kill(new, signal.SIGTERM)
    assert load.outcome.failures == []
    assert load.outcome.streams >= 20
    assert front.process.returncode == 0
    wait_until(
        lambda: not Path(f"/proc/{new}/stat").exists() or " Z " in Path(f"/proc/{new}/stat").read_text()
    )


def test_a_new_program_that_does_not_come_up_changes_nothing(
    front: Running, urls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "steelyard.toml").write_text("nonsense")
    with pytest.raises(urllib.error.HTTPError, match="409"):
        ask(front, "/upgrade", "POST")
    with Load(front.addresses["gateway"], connections=4, rate_per_s=100) as load:
        load.wait_for(50)
    assert load.outcome.failures == []


def test_ready_says_when_not_to_send_clients(front: Running) -> None:
    assert ask(front, "/readyz")["status"] == "ready"
    ask(front, "/drain", "POST")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        ask(front, "/readyz")
    ask(front, "/restore", "POST")
    assert ask(front, "/readyz")["status"] == "ready"


def test_the_commands_say_what_became_of_it(front: Running, tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        admin = ("--admin", front.addresses["admin"])
        line = [sys.executable, "-m", "steelyard", *arguments, *admin]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)

    assert command("reload").stdout.startswith("generation 2 serves with workers ")
    (tmp_path / "steelyard.toml").write_text("[[pools]]\nplicy = 3\n")
    refused = command("reload")
    assert refused.returncode == 2
    assert "did you mean 'policy'?" in refused.stderr
