"""Output suits whatever reads it: a pipe that closes, a full disk, an old locale, a narrow terminal."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from steelyard.cli.nodes import node_table
from steelyard.cli.status import replica_table
from steelyard.cli.top_gateway import replica_table as watched

PROGRAM = [sys.executable, "-m", "steelyard"]
# What a caller may have set, and would change the answer.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if name not in ("COLUMNS", "LANG", "PYTHONIOENCODING", "PYTHONUTF8", "NO_COLOR")
    and not name.startswith("LC_")
}


def run(
    *arguments: str, stdout: int = subprocess.PIPE, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=CLEAN | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )


def in_shell(line: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", line.replace("steelyard", f"{sys.executable} -m steelyard")],
        env=CLEAN,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("policies",), ("policies", "--json"), ("--help",), ("serve", "-h")])
def test_a_reader_that_leaves_changes_nothing(arguments: tuple[str, ...], unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as `| head -1` is once it has its line, but surely
    with os.fdopen(writer) as pipe:
        done = run(*arguments, stdout=pipe.fileno(), environment={"PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_verdict_keeps_its_exit_code_without_a_reader(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("not a record\n")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as pipe:
        done = run("audit", str(tmp_path / "log"), stdout=pipe.fileno())
    assert done.returncode == run("audit", str(tmp_path / "log")).returncode != 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [("policies",), ("policies", "--json"), ("--version",)])
def test_a_full_disk_is_one_sentence(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = run(*arguments, stdout=full.fileno())
    assert (done.returncode, done.stderr) == (2, b"steelyard: No space left on device\n")


def test_closed_streams_are_no_fault_and_lend_their_numbers_to_nobody() -> None:
    assert in_shell("steelyard policies >&-; echo $? >&2").stderr == b"0\n"
    done = in_shell("steelyard serv 2>&-; echo $?")
    assert (done.stdout, done.stderr) == (b"2\n", b"")


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "POSIX"},
        {"LANG": "C"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_any_locale_will_do(environment: dict[str, str], tmp_path: Path) -> None:
    name = tmp_path / "żółć.toml"
    name.write_text('[[pools]]\nname = "größe→"\n[[pools.replicas]]\nurl = "http://127.0.0.1:8000"\n')
    for arguments in (("policies",), ("check", str(name)), ("check", str(name), "--json")):
        done = run(*arguments, environment=environment)
        assert (done.returncode, done.stderr) == (0, b""), (arguments, done)
    done = run("check", str(name.with_suffix(".none")), environment=environment)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"steelyard: cannot read")


def test_a_piped_table_is_not_cut_to_a_terminal_it_does_not_have() -> None:
    wide = run("policies").stdout.decode()
    narrow = run("policies", environment={"COLUMNS": "60"}).stdout.decode()
    assert max(map(len, wide.splitlines())) > 80
    assert max(map(len, narrow.splitlines())) <= 60
    # Nothing is lost in the narrow one, either: what does not fit goes on in the next line.
    assert sorted(narrow.split()) == sorted(wide.split())


@pytest.mark.parametrize("arguments", [(), ("keys",)])
def test_a_group_alone_shows_its_help(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("Usage: steelyard")
    assert {"Commands:", "Requests:"} & set(lines)
    assert not any(line.endswith("...") for line in lines[1:])


def test_no_name_is_cut_in_eighty_columns() -> None:
    replica = {"id": "10.20.30.40:65535", "pool": "chat", "state": "unhealthy", "requests_in_flight": 12,
               "load": {"waiting_requests": 3, "running_requests": 64, "kv_used_fraction": 0.5},
               "last_error": "", "requests_per_s": 1.5}  # fmt: skip
    node = {"node": "gpu-node-1234", "state": "drained", "tasks": ["1.0"], "hot": [], "reason": "new memory",
            "used": {"cpu_cores": 1.25, "memory_bytes": 1.5e9}, "reserved": {"cpu_cores": 12},
            "capacity": {"cpu_cores": 128, "memory_bytes": 2e12, "gpus": 8}}  # fmt: skip
    for made in (replica_table([replica]), watched([replica], 1), node_table([node])):
        screen = Console(width=80, record=True, file=io.StringIO())
        screen.print(made)
        text = screen.export_text()
        assert "…" not in text
        assert made.columns[0].header in ("replica", "node")
        assert ("10.20.30.40:65535" in text) or ("gpu-node-1234" in text)
