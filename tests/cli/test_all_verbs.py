"""What holds for every verb: examples in its help, JSON, one sentence where nobody answers."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from steelyard.cli import exit_codes
from steelyard.cli.main import VERBS, steelyard

# These do something, and what they print is what they did.
DOES = {
    "audit", "cancel", "completion", "demo", "demo caches", "demo jobs", "demo seed-math", "down", "drain",
    "engine", "keys", "keys add", "keys revoke", "logs", "move", "pause", "reload", "resume", "serve", "up",
    "upgrade",
}  # fmt: skip
PROGRAM = 'import sys; sys.argv[0] = "steelyard"; from steelyard.cli.main import main; main()'
FLOATS = click.types.FloatParamType | click.FloatRange
ROOT = Path(__file__).parents[2]


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb, also those under others."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


ALL = dict(commands(steelyard))


@pytest.mark.parametrize("path", ALL)
def test_help_shows_examples_that_the_verb_takes(path: str) -> None:
    shown = CliRunner().invoke(steelyard, [*path.split(), "--help"])
    assert shown.exit_code == 0
    text = shown.output.partition("Usage:")[2].partition("\n")[2]
    lines = [line.strip() for line in text.splitlines()]
    examples = [line for line in lines if re.match(rf'(eval "\$\()?steelyard {path}\b', line)]
    assert examples, shown.output
    for example in examples:
        words = shlex.split(re.split(r"\)\"|  +| > | #", example.removeprefix('eval "$('))[0])
        command: click.Command = steelyard
        for word in words[1:]:
            if not isinstance(command, click.Group):
                break
            command = command.get_command(click.Context(command), word) or command
            words.remove(word)
        command.make_context("steelyard", words[1:])  # raises for an option that it does not have


@pytest.mark.parametrize("path", [path for path in ALL if path not in DOES])
def test_a_verb_that_tells_something_tells_it_as_json_too(path: str) -> None:
    assert "--json" in [name for each in ALL[path].params for name in each.opts]


def test_a_verb_that_only_does_is_named_as_such() -> None:
    assert set(ALL) >= DOES
    assert [
        path for path in DOES if "--json" in [name for each in ALL[path].params for name in each.opts]
    ] == []


NUMBERS = [(path, each) for path in ALL for each in ALL[path].params if isinstance(each.type, FLOATS)]


@pytest.mark.parametrize(("path", "option"), NUMBERS, ids=[f"{path} {each.name}" for path, each in NUMBERS])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_number_is_a_finite_number(path: str, option: click.Parameter, value: str) -> None:
    with pytest.raises(click.BadParameter, match=f"{value} is not (a finite number|in the range)"):
        option.type.convert(value, option, None)


def test_a_number_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    done = run("replay", "generated", "--to", "http://127.0.0.1:1", "--slo-ttft", "nan", folder=tmp_path)
    assert done.returncode == exit_codes.MISTAKE
    assert "steelyard: invalid value for '--slo-ttft': nan is not a finite number" in done.stderr


@pytest.mark.parametrize("verb", ["status", "why", "shadow", "reload", "upgrade"])
def test_one_sentence_when_no_admin_port_answers(verb: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = run(verb, "--admin", f"127.0.0.1:{unused.getsockname()[1]}")
    assert (done.returncode, done.stdout) == (exit_codes.MISTAKE, "")
    assert re.fullmatch(r"steelyard: cannot ask the gateway at .*\n", done.stderr)


NEEDS = {"job": ("1",), "logs": ("1",), "cancel": ("1",), "pause": ("1",), "resume": ("1",),
         "move": ("1", "B"), "drain": ("B",), "submit": ("--", "true")}  # fmt: skip


OF_JOBS = [verb for verb in VERBS if "state" in [each.name for each in ALL[verb].params]]


@pytest.mark.parametrize("verb", OF_JOBS)
def test_one_sentence_when_no_jobs_service_answers(verb: str, tmp_path: Path) -> None:
    if verb in ("up", "top"):
        pytest.skip("`up` is the service; `top` is tested with both planes away")
    found = CliRunner().invoke(steelyard, [verb, "--state", str(tmp_path), *NEEDS.get(verb, ())])
    assert "start one with `steelyard up`" in str(found.exception)


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>"])
def test_one_sentence_when_something_else_answers(words: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(words)

        pool.submit(answer)
        done = run("status", "--admin", f"127.0.0.1:{server.getsockname()[1]}")
    assert done.returncode == exit_codes.MISTAKE
    assert re.fullmatch(r"steelyard: cannot ask the gateway at .*\n", done.stderr)


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xff\xfe")
    (tmp_path / "x.csv.gz").write_bytes(b"no gzip")
    text, zipped = str(tmp_path / "text"), str(tmp_path / "x.csv.gz")
    for arguments in (
        ("check", str(tmp_path / "none.toml")), ("check", str(tmp_path / "text")), ("check", str(tmp_path)),
        ("audit", str(tmp_path / "none")), ("simulate", str(tmp_path / "none")), ("keys", "list"),
        ("simulate", text), ("plan", text), ("simulate", zipped), ("replay", text, "--to", "http://127.0.0.1:1"),
        ("simulate", str(tmp_path)), ("replay-log", text), ("audit", text),
        ("simulate-cluster", "--nodes", text, "--tasks", text), ("up", "--nodes", text),
        ("up", "--config", text), ("up", "--node", "A:cpu=2"),
        ("status", "--admin", "ftp://here"), ("status", "--admin", "nowhere:x"), ("completion", "tcsh"),
    ):  # fmt: skip
        done = run(*arguments, folder=tmp_path)
        assert done.returncode == exit_codes.MISTAKE, (arguments, done.stderr)
        assert done.stderr.startswith("steelyard: "), done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_verbs_options_and_values(shell: str) -> None:
    script = CliRunner().invoke(steelyard, ["completion", shell])
    assert "_STEELYARD_COMPLETE" in script.output
    made = get_completion_class(shell)
    assert made is not None
    complete = made(steelyard, {}, "steelyard", "_STEELYARD_COMPLETE")
    assert [item.value for item in complete.get_completions([], "sim")] == ["simulate", "simulate-cluster"]
    assert [item.value for item in complete.get_completions(["status"], "--j")] == ["--json"]
    assert [item.value for item in complete.get_completions(["up", "--executor"], "s")] == ["slurm"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_it(tmp_path: Path) -> None:
    program = tmp_path / "steelyard"
    path = os.pathsep.join(path for path in sys.path if path)
    program.write_text(f"#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} -c '{PROGRAM}' \"$@\"\n")
    program.chmod(0o755)
    script = (
        'eval "$(steelyard completion bash)"; COMP_WORDS=(steelyard simu); COMP_CWORD=1; '
        '_steelyard_completion steelyard; echo "${COMPREPLY[@]}"'
    )
    found = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=found, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("simulate simulate-cluster\n", "")


def test_the_page_says_what_the_exit_codes_mean() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)
    assert {int(code): text for code, text in rows} == exit_codes.MEANINGS


def test_the_page_names_every_verb() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"`steelyard {verb}" not in page] == []


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "steelyard", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
