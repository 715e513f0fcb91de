"""The verbs of the jobs plane: what they print, and what a mistake costs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec import to_builtins
from tests.harness.jobs import RunningJobs, eventually, jobs_service

from steelyard.cli.main import steelyard
from steelyard.jobs.specification import from_table
from steelyard.jobs.submission import submit
from steelyard.model.errors import BadRequest, ConfigError, SteelyardError


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningJobs]:
    with jobs_service(tmp_path_factory.mktemp("verbs") / "state") as running:
        yield running


def run(service: RunningJobs, *arguments: str, fails: bool = False) -> Result:
    result = CliRunner().invoke(steelyard, [*arguments, "--state", str(service.folder)])
    assert (result.exit_code != 0) is fails, f"{result.output} {result.exception}"
    return result


def test_submit_watch_and_read(service: RunningJobs, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        steelyard,
        ["submit", "--state", str(service.folder), "--wait", "--name", "hello", "--json", "--", "echo", "hi"],
    )
    assert result.exit_code == 0, result.output
    (submitted,) = json.loads(result.stdout)["jobs"]
    assert submitted["name"] == "hello"
    job_id = submitted["job"]
    rows = json.loads(run(service, "jobs", "--json").stdout)["jobs"]
    assert next(row for row in rows if row["job"] == job_id)["state"] == "done"
    assert "hello" in run(service, "jobs").output
    assert json.loads(run(service, "job", job_id, "--json").stdout)["timeline"][-1]["after"] == "done"
    assert "placed on" in run(service, "job", job_id).output
    assert run(service, "logs", job_id).output == "hi\n"
    assert run(service, "logs", job_id, "--follow").output == "hi\n"
    assert run(service, "logs", job_id, "--tail", "2").output == "i\n"


def test_a_key_that_was_given_before_is_said(service: RunningJobs) -> None:
    command = ["submit", "--state", str(service.folder), "--key", "mine", "--"]
    first = CliRunner().invoke(steelyard, [*command, "true"])
    again = CliRunner().invoke(steelyard, [*command, "false"])
    assert first.exit_code == again.exit_code == 0
    assert first.stderr == ""
    assert again.stdout.split()[1] == first.stdout.split()[1]
    assert again.stderr.startswith("steelyard: nothing new was submitted: job")


def test_a_failed_job_makes_submit_wait_fail(service: RunningJobs, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('command = "exit 2"\n')
    result = run(service, "submit", str(path), "--wait", fails=True)
    assert result.exit_code == 1


def test_pause_resume_move_drain_cancel(service: RunningJobs) -> None:
    job_id = service.submit("sleep 60", grace="100ms")
    service.wait_state(job_id, "running")
    source = service.task(job_id)["node"]
    target = "B" if source == "A" else "A"
    assert f"goes on on {target}" in run(service, "move", job_id, target).output
    eventually(lambda: service.task(job_id)["node"] == target)
    service.wait_state(job_id, "running")
    assert "drained" in run(service, "drain", source).output
    assert "drained" in run(service, "nodes").output
    assert "takes tasks again" in run(service, "drain", source, "--undo").output
    run(service, "pause", job_id)
    service.wait_state(job_id, "paused")
    run(service, "resume", job_id)
    service.wait_state(job_id, "running")
    page = run(service, "top", "--once").output
    assert "balance degree" in page
    assert f"{job_id}.0" in page
    run(service, "cancel", job_id)
    service.wait_state(job_id, "cancelled")
    assert {row["node"] for row in json.loads(run(service, "nodes", "--json").stdout)} == {"A", "B"}
    assert "utilisation" in json.loads(run(service, "top", "--json").stdout)["jobs"]


def test_mistakes_are_one_sentence(service: RunningJobs, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('comand = "x"\n')
    assert "did you mean 'command'?" in str(run(service, "submit", str(path), fails=True).exception)
    path.write_text("command = [\n")
    assert "is not valid TOML" in str(run(service, "submit", str(path), fails=True).exception)
    assert "there is no job '99'" in str(run(service, "job", "99", fails=True).exception)
    nowhere = CliRunner().invoke(steelyard, ["jobs", "--state", str(tmp_path)])
    assert "start one with `steelyard up`" in str(nowhere.exception)
    ray = CliRunner().invoke(steelyard, ["up", "--executor", "ray", "--state", str(tmp_path)])
    assert "needs --address HOST:PORT" in str(ray.exception)
    slurm = CliRunner().invoke(steelyard, ["up", "--executor", "slurm", "--node", "A"])
    assert "knows its own nodes" in str(slurm.exception)
    smooth = CliRunner().invoke(steelyard, ["up", "--smoothing", "4000", "--state", str(tmp_path)])
    assert "--smoothing is 4000.0: it must be in 0..3600 s" in str(smooth.exception)
    command = [sys.executable, "-m", "steelyard", "up", "--detach", "--state", str(tmp_path), "--node", "a b"]
    hidden = subprocess.run(
        command, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(service.paths)},
    )  # fmt: skip
    assert hidden.returncode == 2
    assert "did not start: a node's name is 'a b'" in hidden.stderr


def test_orders_that_cannot_be_followed_say_why(service: RunningJobs) -> None:
    first, second = service.submit("true"), service.submit("sleep 60", grace="100ms")
    service.wait_state(first, "done")
    service.wait_state(second, "running")
    here = service.task(second)["node"]
    other = "B" if here == "A" else "A"

    def refused(*arguments: str) -> str:
        result = run(service, *arguments, fails=True)
        assert isinstance(result.exception, BadRequest), repr(result.exception)
        return str(result.exception)

    assert refused("resume", first) == f"job {first} has ended (done): there is nothing to resume"
    assert refused("pause", first) == f"job {first} has ended (done): there is nothing to pause"
    assert refused("cancel", f"{first}.0") == f"{first}.0 is a task: name its job, {first}"
    assert refused("move", f"{second}.7", other) == (
        f"there is no task '{second}.7': the last of its job is {second}.0"
    )
    assert refused("move", second, here) == f"task {second}.0 is on {here} already"
    wide = service.submit("true", resources={"cpu_cores": 100})
    assert refused("move", wide, "A") == f"task {wide}.0 (100 cores) cannot go to A: too little CPU free"
    run(service, "drain", other, "--reason", "new memory")
    assert refused("move", second, other).endswith(f"cannot go to {other}: new memory")
    barred = service.submit("true", nodes=["Z"])
    eventually(lambda: "node = Z" in str(service.task(barred).get("waits")))
    assert "may use no node that takes tasks now: it wants node = Z (1 more is drained or lost)" in str(
        service.task(barred)["waits"]["why"]
    )
    run(service, "drain", other, "--undo")
    several = run(service, "cancel", "99", second, wide, barred, fails=True)
    assert f"job {second}: stopping" in several.stdout, "those that can be are cancelled"
    assert "there is no job '99'" in str(several.exception)


def test_what_others_named_is_shown_as_it_is_and_moves_no_cursor(service: RunningJobs) -> None:
    text = "[/foo] [bold]x"
    job_id = service.submit("exit 1", name=text, tenant="[/t]", retry={"max_retries": 0})
    service.wait_state(job_id, "failed")
    loud = service.submit("true \x1b[31m\r")
    service.wait_state(loud, "done")
    assert text in run(service, "jobs").output.replace("\n", " ")
    assert text in run(service, "job", job_id).output
    page = run(service, "job", loud).output
    assert "\x1b" not in page
    assert "true \\x1b[31m\\r" in page
    assert run(service, "top", "--once").exit_code == 0
    assert run(service, "nodes").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "--", "echo", "\udcff"),
        ("submit", "--key", "\udcff", "--", "true"),
        ("job", "\udcff"),
        ("cancel", "\udcff"),
        ("drain", "\udcff"),
        ("drain", "A", "--reason", "\udcff"),
        ("logs", "\udcff"),
        ("move", "1", "\udcff"),
    ],
)
def test_what_is_no_text_is_refused_in_one_sentence(service: RunningJobs, arguments: tuple[str, ...]) -> None:
    command = [arguments[0], "--state", str(service.folder), *arguments[1:]]
    result = CliRunner().invoke(steelyard, command)
    assert isinstance(result.exception, SteelyardError), repr(result.exception)
    assert "UTF-8 text" in str(result.exception)


def test_a_call_of_nonsense_through_the_door_ends_no_service(service: RunningJobs) -> None:
    job = to_builtins(from_table({"command": "true"}, service.folder))
    for values in (
        {"specification": job, "wall_s": "noon"},
        {"specification": job, "wall_s": [1]},
        {"specification": job, "key": "k" * 501},
        {"specification": {**job, "environment": {"A=B": "x"}}},
        {"specification": {**job, "command": ["true", "\0"]}},
        {"specification": {**job, "tasks": 10**30}},
        {"specification": {**job, "nice": -(10**15)}},
        {"specification": 7},
        {},
    ):
        with pytest.raises(BadRequest):
            service.client.ask("submit", **values)
    for op, values in (
        ("jobs", {"limit": "x"}),
        ("jobs", {"offset": "y"}),
        ("logs", {"task": {}}),
        ("x", {}),
    ):
        with pytest.raises(BadRequest):
            service.client.ask(op, **values)
    assert service.wait_state(service.submit("true"), "done")


def test_a_python_program_is_told_what_is_wrong_and_may_name_jobs_as_it_has_them(
    service: RunningJobs,
) -> None:
    for command in (None, 5, b"true", [1]):
        with pytest.raises(ConfigError, match="Expected `str"):
            submit(command, state=service.folder)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigError, match="Expected `array`, got `int`"):
        submit("true", state=service.folder, after=5)
    first = submit("true", state=service.folder, working_directory=service.folder, after=None)
    assert first.wait(30) == "done"
    for after in (first, first.job_id, [first], (first.job_id,)):
        assert submit(("true",), state=service.folder, after=after).wait(30) == "done"


def test_a_journal_that_is_none_is_a_mistake_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("a letter, no data base" * 100)
    result = CliRunner().invoke(steelyard, ["up", "--state", str(tmp_path), "--node", "A"])
    assert isinstance(result.exception, ConfigError), "exit code 2"
    assert "choose another --state folder" in str(result.exception)


def test_a_service_whose_socket_was_tidied_away_makes_it_anew(service: RunningJobs) -> None:
    (service.folder / "jobs.socket").unlink()
    assert "start one with `steelyard up`" in str(run(service, "jobs", fails=True).exception)
    eventually((service.folder / "jobs.socket").exists, timeout_s=10)
    assert run(service, "jobs").exit_code == 0
    assert service.client.ask("status")["term"] == 1, "a connection that was open stays so"


def test_down_ends_all_and_up_goes_on(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A") as service:
        job_id = service.submit('[ $STEELYARD_EPOCH = 1 ] && sleep 60; echo "at last"', grace="100ms")
        service.wait_state(job_id, "running")
        agent = service.agent("A")
        run(service, "down", "--grace", "1")
        assert service.process is not None
        assert service.process.wait(timeout=40) == 0
        assert not agent.exists
        service.start()
        service.wait_state(job_id, "done")
        assert service.log(job_id).endswith("at last\n")
