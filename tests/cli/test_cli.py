"""The command line: what it prints, and what a mistake costs."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from steelyard.cli.main import SECTIONS, VERBS, steelyard


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from steelyard.cli.main import main; main()", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    result = CliRunner().invoke(steelyard, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_lists_policies_as_json() -> None:
    rows = json.loads(CliRunner().invoke(steelyard, ["policies", "--json"]).output)
    defaults = {row["kind"]: row["name"] for row in rows if row["default"]}
    assert defaults == {
        "routing": "prefix-ttft",
        "placement": "least-stranding",
        "ordering": "priority",
        "rebalancing": "hot-nodes",
    }
    assert {"fgd", "deadline"} <= {row["name"] for row in rows}


def test_checks_a_file(tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_text('[[pools]]\n[[pools.replicas]]\nurl = "http://127.0.0.1:8000"\n')
    result = CliRunner().invoke(steelyard, ["check", str(path)])
    assert result.exit_code == 0
    assert "is good" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("serve",), "there is no engine"),
        (("serve", "--engine", "ftp://x"), "it must look like http://HOST:PORT"),
        (("serve", "--engine", "http://127.0.0.1:1", "--policy", "best"), "unknown policy 'best'"),
        (("serve", "--engine", "http://[::1"), "it must look like http://HOST:PORT"),
        (("serve", "--engine", "http://127.0.0.1:abc"), "it must look like http://HOST:PORT"),
        (("serve", "--engine", "http://127.0.0.1:99999"), "it must look like http://HOST:PORT"),
        (("serve", "--engine", "http://127.0.0.1:1", "--listen", "127.0.0.1:²0"), "it must be HOST:PORT"),
        (
            ("serve", "--engine", "http://127.0.0.1:1", "--access-log", "/nowhere/log"),
            "cannot write access_log",
        ),
        (("check", "/nowhere.toml"), "cannot read /nowhere.toml: No such file or directory"),
        (("replay", "/nowhere.csv", "--to", "http://127.0.0.1:1"), "/nowhere.csv: No such file or directory"),
        (("replay", "generated", "--limit", "1", "--to", "gopher:"), "cannot be replayed to"),
        (("simulate", "/nowhere.csv"), "/nowhere.csv: No such file or directory"),
        (("simulate", "generated", "--policy", "hash-rng"), "did you mean 'hash-ring'?"),
        (("engine", "--profile", "none"), "is not one of"),
        (("xyzzy",), "there is no verb 'xyzzy': known are serve, check, "),
        (("serv",), "there is no verb 'serv': did you mean 'serve'? See `steelyard --help`"),
        (("serve", "--lisen", "x"), "no such option '--lisen'"),
        (("serve", "--emulated", "x"), "see `steelyard serve --help`"),
        (("submit",), "missing argument 'WHAT"),
        (("check", "."), "cannot read .: Is a directory"),
        (("status", "--admin", "127.0.0.1:1"), "name its admin port with --admin"),
        (("jobs", "--state", "/nowhere"), "start one with `steelyard up`"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert result.stderr.startswith("steelyard: ")
    assert result.stderr.count("\n") == 1


def test_a_replay_to_nobody_says_so_by_its_exit_code() -> None:
    result = run("replay", "generated", "--limit", "2", "--speed", "100", "--to", "http://127.0.0.1:1")
    assert result.returncode == 1
    assert "2 failed" in result.stdout
    assert "nan" not in result.stdout


def test_a_wrong_key_names_its_line_and_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('[[pools]]\npolcy = "x"\n[[pools.replicas]]\nurl = "http://127.0.0.1:8000"\n')
    result = run("serve", str(path))
    assert result.returncode == 2
    assert result.stderr == f"steelyard: {path}, line 2: unknown key 'pools.polcy': did you mean 'policy'?\n"


def test_an_engine_s_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("engine", "--port", str(port))
    assert result.returncode == 2
    assert result.stderr == (
        f"steelyard: cannot listen on 127.0.0.1:{port}: Address already in use: choose another --port\n"
    )


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("serve", "--engine", "http://127.0.0.1:1", "--listen", address, "--admin", "127.0.0.1:0")
    assert result.returncode == 2
    assert f"cannot listen on {address}" in result.stderr
    assert "Traceback" not in result.stderr


def test_simulate_reports_each_policy_and_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    arguments = ["simulate", "generated", "--limit", "60", "--policy", "random", "--policy", "prefix-ttft"]
    result = CliRunner().invoke(steelyard, [*arguments, "--json", "--report", str(page)])
    assert result.exit_code == 0, result.output
    reports = json.loads(result.stdout)
    assert [report["policy"] for report in reports] == ["random", "prefix-ttft"]
    assert all(report["requests"] == 60 and report["refused"] == 0 for report in reports)
    assert "<title>steelyard simulate</title>" in page.read_text()
    # Without --json: a table, and where the page is.
    result = CliRunner().invoke(steelyard, [*arguments, "--report", str(page)])
    assert "TTFT p99" in result.output
    assert str(page) in result.output


def test_every_verb_stands_once_in_the_list_of_commands() -> None:
    listed = [verb for verbs in SECTIONS.values() for verb in verbs]
    assert sorted(listed) == sorted(VERBS)
