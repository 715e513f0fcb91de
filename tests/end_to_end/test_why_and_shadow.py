"""Receipts, shadow and log replay through real processes, as an operator would use them."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.harness.processes import Running, engines, running, wait_until

from steelyard.cli.main import steelyard

CONFIGURATION = """
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 2
access_log = "{log}"
access_log_decisions = true
pick_header = true

[[pools]]
policy = "prefix-ttft"
shadow = "round-robin"
replicas = [{replicas}]
"""
QUESTION = "What is a steelyard? " * 400  # some blocks of 1 kB


@dataclass
class Served:
    """A gateway that has answered."""

    front: Running
    ids: list[str]
    headers: list[str]
    log: Path


def ask(front: Running, number: int, *, stream: bool = True) -> tuple[str, str]:
    """(request id, pick) as the answer's headers give them."""
    body = {
        "model": "emulated",
        "max_tokens": 4,
        "stream": stream,
        "messages": [{"role": "system", "content": QUESTION}, {"role": "user", "content": f"{number}"}],
    }
    request = urllib.request.Request(
        front.addresses["gateway"] + "/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()
        return str(answer.headers["X-Request-Id"]), str(answer.headers["X-Steelyard-Pick"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("why")
    log, path = folder / "access.jsonl", folder / "steelyard.toml"
    with engines(3) as started:
        urls = [engine.addresses["engine"] for engine in started]
        replicas = ", ".join(f'{{ url = "{url}", id = "engine-{n}" }}' for n, url in enumerate(urls))
        path.write_text(CONFIGURATION.format(log=log, replicas=replicas))
        with running("serve", str(path), listens=("gateway", "admin")) as front:
            ids, headers = zip(
                *(ask(front, number, stream=number % 2 == 0) for number in range(24)), strict=True
            )
            wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == len(ids))
            yield Served(front, list(ids), list(headers), log)


def slowed(served: Served, tmp_path: Path) -> Path:
    """The log as if people had asked: with time between the requests for a prompt to be kept."""
    rows = sorted(map(json.loads, served.log.read_text().splitlines()), key=lambda row: row["at"])
    path = tmp_path / "access.jsonl"
    path.write_text("\n".join(json.dumps(row | {"at": row["at"] + 5 * n}) for n, row in enumerate(rows)))
    return path


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(steelyard, list(arguments), catch_exceptions=False)


def test_why_tells_the_candidates_the_scores_and_the_reason(served: Served) -> None:
    admin = served.front.addresses["admin"]
    (pick,) = json.loads(cli("why", served.ids[-1], "--admin", admin, "--json").stdout)
    assert pick["request_id"] == served.ids[-1]
    assert pick["attempt"] == 1
    assert pick["reason"] in ("prefix", "estimate")
    scores = {candidate["replica"]: candidate["score"] for candidate in pick["candidates"]}
    assert set(scores) == {"engine-0", "engine-1", "engine-2"}
    assert scores[pick["replica"]] <= 1.3 * min(scores.values())
    shown = cli("why", served.ids[-1], "--admin", admin).output
    assert f"{pick['replica']}, because: {pick['reason']}" in shown
    assert "tokens, " in shown


def test_the_last_picks_of_all_workers_are_listed(served: Served) -> None:
    picks = json.loads(cli("why", "--admin", served.front.addresses["admin"], "--json").stdout)
    assert {pick["request_id"] for pick in picks} == set(served.ids)
    assert [pick["at"] for pick in picks] == sorted((pick["at"] for pick in picks), reverse=True)


def test_an_unknown_request_is_one_sentence_and_exit_code_2(served: Served) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "why", "no/such id", "--admin", served.front.addresses["admin"]],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "no receipt of request" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_access_log_says_why_and_what_prompts_share(served: Served) -> None:
    rows = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert {row["request_id"] for row in rows} == set(served.ids)
    assert all(row["decision"]["replica"] == row["replica"] for row in rows)
    shared = set.intersection(*(set(row["prefix_hashes"]) for row in rows))
    assert len(shared) >= 4


def test_a_shadow_is_counted_over_all_workers_and_simulated_on_the_log(served: Served) -> None:
    admin = served.front.addresses["admin"]
    report = json.loads(cli("shadow", "--admin", admin, "--json").stdout)
    (pool,) = report["pools"]
    assert (pool["live"], pool["shadow"], pool["decisions"]) == (
        "prefix-ttft",
        "round-robin",
        len(served.ids),
    )
    assert 0 < pool["different"] <= pool["decisions"]
    assert sum(pair["count"] for pair in pool["pairs"]) == pool["different"]
    live, shadow = pool["simulated"]
    assert (live["policy"], shadow["policy"]) == ("prefix-ttft", "round-robin")
    assert live["requests"] == shadow["requests"] == len(served.ids)
    assert "another replica in" in cli("shadow", "--admin", admin).output


def test_logged_traffic_is_replayed_under_another_policy(served: Served, tmp_path: Path) -> None:
    result = cli(
        "replay-log", str(slowed(served, tmp_path)), "--policy", "random", "--policy", "prefix-ttft", "--json"
    )
    report = json.loads(result.stdout)
    assert [each["policy"] for each in report["simulated"]] == ["random", "prefix-ttft"]
    assert [each["hit_share"] > 0.3 for each in report["simulated"]] == [True, True], report
    assert report["logged_ttft_s"]["p50"] > 0
    assert "TTFT p99" in cli("replay-log", str(served.log), "--policy", "random").output


def test_a_gateways_log_is_a_trace_like_any_other(served: Served, tmp_path: Path) -> None:
    path = str(slowed(served, tmp_path))
    asked = ("--policy", "prefix-ttft", "--policy", "round-robin", "--replicas", "3", "--seed", "2")
    done = cli("simulate", path, *asked, "--json")
    runs = json.loads(done.stdout)
    assert [run["policy"] for run in runs] == ["prefix-ttft", "round-robin"]
    assert [run["requests"] for run in runs] == [len(served.ids)] * 2
    assert runs[0]["hit_share"] >= runs[1]["hit_share"] > 0.3
    planned = json.loads(cli("plan", path, "--slo", "ttft=2s,tpot=100ms", "--json").stdout)
    assert planned["fewest"] == 1


def test_answers_say_what_was_picked_where_that_is_asked_for(served: Served) -> None:
    rows = {row["request_id"]: row for row in map(json.loads, served.log.read_text().splitlines())}
    for request_id, header in zip(served.ids, served.headers, strict=True):
        row = rows[request_id]
        assert header.startswith(f"replica={row['replica']}; reason={row['reason']}; score=")
        assert header.endswith("; compared=3")
