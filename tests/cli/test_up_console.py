"""The console of a jobs service without a gateway."""

import asyncio
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.harness.jobs import jobs_service
from tests.harness.processes import wait_until

from steelyard.cli import up_console
from steelyard.gateway.admin import AdminServer
from steelyard.model.errors import BadRequest, OutcomeUnknown, SteelyardError
from steelyard.runtime.audit_log import AuditLog
from steelyard.runtime.listeners import listen


def test_a_jobs_service_shows_its_own_jobs_and_nodes_and_obeys_buttons(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A", options=("--console", "127.0.0.1:0")) as jobs:
        job = jobs.submit("sleep 600", name="lonely")
        jobs.wait_state(job, "running")

        def addresses() -> list[str]:
            return re.findall(
                r"console listening on (http://\S+)/console", (jobs.folder / "service.log").read_text()
            )

        wait_until(lambda: bool(addresses()))
        (url,) = addresses()

        def read(path: str, data: bytes | None = None) -> str:
            with urllib.request.urlopen(f"{url}/console{path}", data, timeout=20) as answer:
                return str(answer.read().decode())

        wait_until(lambda: "lonely" in read(""))  # the service may be busy when it is first asked
        page = read("")
        assert "/console/replicas" not in page
        assert "lonely" in read(f"/job?id={job}")
        assert "cpu" in read("/nodes").lower()
        with pytest.raises(urllib.error.HTTPError):
            read("/replicas")
        token = page.partition('name="token" value="')[2].partition('"')[0]
        read("/act/cancel-job", urlencode({"job": job, "token": token}).encode())
        jobs.wait_state(job, "cancelled")
        assert "POST /console/jobs/cancel" in (jobs.folder / "audit.jsonl").read_text()


def test_off_loopback_it_is_refused(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "steelyard", "up", "--state", str(tmp_path), "--console", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (found.returncode, "loopback only" in found.stderr) == (2, True)


def test_it_says_that_it_listens_once_it_serves_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def use() -> None:
        starting, may_start = asyncio.Event(), asyncio.Event()

        async def start(*_: object) -> None:
            starting.set()
            await may_start.wait()

        monkeypatch.setattr(AdminServer, "start", start)
        (listener,) = listen("127.0.0.1", 0, 1)
        with listener:
            serving = asyncio.create_task(up_console._serve(listener, tmp_path))
            await starting.wait()
            assert capsys.readouterr().out == ""
            may_start.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            number = listener.getsockname()[1]
            assert capsys.readouterr().out == f"console listening on http://127.0.0.1:{number}/console\n"
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(use())


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (None, "done"),
        (BadRequest("no job '9'"), "refused: no job '9'"),
        (OutcomeUnknown("it is silent"), "unknown: it is silent"),
    ],
)
def test_how_an_order_went_is_recorded(tmp_path: Path, error: SteelyardError | None, detail: str) -> None:
    log = tmp_path / "audit.jsonl"

    async def action() -> None:
        if error is not None:
            raise error

    async def use() -> None:
        await asyncio.gather(
            up_console.NoGateway(AuditLog(log)).recorded("me", "cancel", action), return_exceptions=True
        )

    asyncio.run(use())
    assert [json.loads(line)["detail"] for line in log.read_text().splitlines()] == ["asked", detail]
