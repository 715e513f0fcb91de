"""The console over plain HTTP: what it refuses, what it escapes, what it bounds."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from tests.harness.console_planes import MemoryGateway, Port, on_port, receipt, replica

from steelyard.config.console import ConsoleOptions
from steelyard.console import templates
from steelyard.console.pages.registry import PAGES
from steelyard.model.errors import BadRequest, ConfigError

EVIL = "<script>alert('x')</script>\"&"


class MemoryJobs:
    """A jobs plane with one job; what it is told is kept."""

    def __init__(self, name: str = "train") -> None:
        self.told: list[tuple[str, dict[str, object]]] = []
        self.job = {
            "job": "1", "name": name, "user": name, "state": "running", "tasks": 1, "done": 0,
            "nodes": [name], "priority": 0, "submitted_wall_s": 900.0, "ran_s": 5.0, "reason": name,
        }  # fmt: skip

    def ask(self, op: str, **values: object) -> dict[str, Any]:
        if op in ("pause", "resume", "cancel", "move", "drain"):
            self.told.append((op, values))
            return {"job": "1"}
        capacity = {"cpu_cores": 8.0, "memory_bytes": 100.0, "gpus": 0.0}
        node = {
            "node": self.job["name"], "state": "up", "reason": "", "labels": {}, "tasks": ["1.0"],
            "capacity": capacity, "used": {"cpu_cores": 2.0, "memory_bytes": 99.0}, "reserved": {},
            "hot": ["memory_bytes"], "age_s": 0.1,
        }  # fmt: skip
        task = {
            "task": "1.0", "state": "queued", "reason": self.job["name"], "node": self.job["name"],
            "devices": [], "target": "", "epoch": 1, "failures": 0, "losses": 0, "moves": 0,
            "exit_code": None, "ran_s": 5.0,
            "waits": {"why": f"too little memory for {self.job['name']}", "feasible_in_s": None},
        }  # fmt: skip
        change = {"wall_s": 900.0, "task": "1.0", "after": "queued", "node": "", "reason": self.job["name"]}
        answers: dict[str, dict[str, Any]] = {
            "top": {"states": {"running": 1}, "utilisation": 1.0, "balance_degree": 0.0, "nodes": [node]},
            "nodes": {"nodes": [node]},
            "jobs": {"jobs": [self.job], "total": 1, "task_states": {"running": 1}},
            "gantt": {
                "bars": [{"task": self.job["name"], "job": "1", "node": self.job["name"],
                          "from_wall_s": 900.0, "to_wall_s": None, "became": ""}],
                "left": 0,
                "now_wall_s": 1000.0,
            },
            "logs": {"text": f"{self.job['name']}\n", "offset": 9, "final": False, "epoch": 1},
            "job": {**self.job, "command": [self.job["name"]], "gang": False, "after": [], "backup": "",
                    "demand": {"cpu_cores": 1.0}, "task_views": [task], "timeline": [change]},
        }  # fmt: skip
        if op == "job" and values["job"] != "1":
            raise BadRequest(f"there is no job {values['job']!r}", http_status=404)
        return answers[op]


class NoJobsService:
    """A jobs plane where nobody answers."""

    def ask(self, op: str, **values: object) -> dict[str, Any]:
        raise ConfigError("no jobs service answers here: start one with `steelyard up`")


@pytest.mark.parametrize("name", list(PAGES))
def test_every_page_answers_with_both_planes_with_one_and_with_nothing_in_them(name: str) -> None:
    async def use(port: Port) -> None:
        said = await port.get(f"/console/{name}?id=1")
        assert said.status == 200
        assert said.body.rstrip().endswith("</html>")
        assert "default-src 'none'" in said.field("content-security-policy")

    on_port(use, jobs=MemoryJobs())
    on_port(use, jobs=NoJobsService())
    on_port(use, MemoryGateway(replicas=[]), jobs=None)


def test_nothing_that_a_stranger_names_is_ever_markup() -> None:
    gateway = MemoryGateway(
        replicas=[replica(EVIL, state="unhealthy", pool=EVIL, models=(EVIL,), last_error=EVIL, engine=EVIL)],
        receipts=[receipt(EVIL, replica=EVIL, pool=EVIL, reason=EVIL)],
    )

    async def use(port: Port) -> None:
        for page in PAGES:
            for query in ("", f"?id=1&q={quote(EVIL)}", f"?id={quote(EVIL)}&state={quote(EVIL)}"):
                body = (await port.get(f"/console/{page}{query}")).body
                assert "<script>alert" not in body
                assert not re.search(r"<[^>]*alert\('x'\)", body)
        reader, writer = await port.send("GET", f"/console/events?page=requests&id={quote(EVIL)}")
        async with asyncio.timeout(20):
            await reader.readuntil(b"event: regions\n")
            regions = json.loads((await reader.readline()).partition(b": ")[2])
        writer.close()
        assert all("<script>alert" not in html for html in regions.values())
        assert any("&lt;script&gt;alert" in html for html in regions.values())

    on_port(use, gateway, MemoryJobs(EVIL))


def test_no_template_marks_anything_as_safe_or_turns_escaping_off() -> None:
    for path in templates.FOLDER.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", text), path
        # The content security policy forbids these; the page would break without a word.
        assert not re.search(r"\son\w+=|\sstyle=|javascript:|<style|<script(?! src=)", text), path
    for path in (templates.FOLDER / "regions").glob("*.html"):
        assert not re.search(r"\btoken\b *[}|]", path.read_text(encoding="utf-8")), (
            path
        )  # viewers share these


def test_looking_does_nothing_and_doing_needs_the_token() -> None:
    gateway, jobs = MemoryGateway(), MemoryJobs()

    async def use(port: Port) -> None:
        act = "/console/act/drain-replica"
        assert (await port.get(f"{act}?replica=one&token={await port.token()}")).status == 404
        for token in ("", "wrong", "é"):
            said = await port.ask("POST", act, urlencode({"replica": "one", "token": token}))
            assert (said.status, "load the page again" in said.body) == (403, True)
        origin = "Origin: http://evil.test"
        body = urlencode({"replica": "one", "token": await port.token()})
        assert (await port.ask("POST", act, body, (origin,))).status == 403
        assert (await port.ask("PUT", act, body)).status == 405
        assert gateway.told == []
        assert (await port.ask("POST", act, body)).status == 303
        assert gateway.told == [("drain", "one")]

    on_port(use, gateway, jobs)


@pytest.mark.parametrize(
    ("action", "fields", "told"),
    [
        ("pause-job", {"job": "1"}, ("pause", {"job": "1"})),
        ("resume-job", {"job": "1"}, ("resume", {"job": "1"})),
        ("cancel-job", {"job": "1"}, ("cancel", {"job": "1"})),
        ("move-task", {"task": "1.0", "node": "B"}, ("move", {"task": "1.0", "node": "B"})),
        ("drain-node", {"node": "A"}, ("drain", {"node": "A"})),
        ("restore-node", {"node": "A"}, ("drain", {"node": "A", "undo": True})),
    ],
)
def test_orders_to_the_jobs_service_are_recorded_and_given(
    action: str, fields: dict[str, str], told: tuple[str, dict[str, object]]
) -> None:
    gateway, jobs = MemoryGateway(), MemoryJobs()

    async def use(port: Port) -> None:
        body = urlencode({**fields, "token": await port.token()})
        said = await port.ask("POST", f"/console/act/{action}", body, ("Accept: application/json",))
        assert (said.status, list(json.loads(said.body))) == (200, ["said"])
        assert jobs.told == [told]
        assert [what.split()[:2] for _, what in gateway.told] == [["POST", f"/console/jobs/{told[0]}"]]

    on_port(use, gateway, jobs)


def test_an_order_that_cannot_be_followed_says_why() -> None:
    async def use(port: Port) -> None:
        token = await port.token()
        for action, fields, status, words in (
            ("drain-replica", {"replica": "nine"}, 404, "no replica 'nine'"),
            ("drain-replica", {}, 400, "needs replica"),
            ("no-such", {}, 404, "there are drain-replica"),
            ("pause-job", {"job": "1"}, 503, "no jobs service"),
        ):
            said = await port.ask("POST", f"/console/act/{action}", urlencode({**fields, "token": token}))
            assert (said.status, words in said.body) == (status, True), said

    on_port(use, jobs=NoJobsService())


def test_an_order_of_endless_names_is_refused_and_leaves_no_line() -> None:
    gateway, jobs = MemoryGateway(), MemoryJobs()

    async def use(port: Port) -> None:
        body = urlencode({"job": "é" * 8_000, "token": await port.token()})
        said = await port.ask("POST", "/console/act/cancel-job", body)
        assert (said.status, "at most 200 characters" in said.body) == (400, True)
        assert (gateway.told, jobs.told) == ([], [])

    on_port(use, gateway, jobs)


def test_too_many_fields_are_refused_in_a_sentence() -> None:
    async def use(port: Port) -> None:
        many = "&".join(f"f{number}=1" for number in range(21))
        for said in (await port.ask("POST", "/console/login", many), await port.get(f"/console?{many}")):
            assert (said.status, "over 20 fields" in said.body) == (400, True)
        assert (await port.get(f"/console/replicas?from={'9' * 1900}&q=%ff%00")).status == 200

    on_port(use)


@pytest.mark.parametrize(
    "back", ["https://evil.test/", "//evil.test", "/console/../x\r\nSet-Cookie: a=b", "/drain"]
)
def test_a_form_leads_back_to_a_page_of_ours_only(back: str) -> None:
    async def use(port: Port) -> None:
        body = urlencode({"replica": "one", "token": await port.token(), "back": back})
        said = await port.ask("POST", "/console/act/drain-replica", body)
        assert (said.status, said.field("location")) == (303, "/console")
        assert said.field("set-cookie") == ""

    on_port(use)


def test_with_a_key_a_browser_logs_in_and_its_cookie_opens_the_console_alone(tmp_path: Path) -> None:
    key = tmp_path / "admin.key"
    key.write_text("open sesame\n")
    key.chmod(0o600)

    async def use(port: Port) -> None:
        first = await port.get("/console/replicas")
        assert (first.status, first.field("location"), first.body) == (303, "/console/login", "")
        assert (await port.get("/console/api/overview")).status == 401
        assert (await port.get("/console/events?page=overview")).status == 401
        assert (await port.ask("POST", "/console/act/drain-replica", "replica=one")).status == 401
        assert (await port.get("/console/login")).status == 200
        wrong = await port.ask("POST", "/console/login", "key=nonsense")
        assert (wrong.status, wrong.field("set-cookie")) == (403, "")
        right = await port.ask("POST", "/console/login", urlencode({"key": "open sesame"}))
        cookie = right.field("set-cookie")
        assert right.status == 303
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/console"))
        shown = f"Cookie: other=1; {cookie.partition(';')[0]}"
        assert (await port.get("/console/replicas", shown)).status == 200
        assert (await port.get("/metrics", shown)).status == 401
        assert (await port.get("/console/api/overview", "Authorization: Bearer open sesame")).status == 200
        # A token of one session is of no use in another, nor without one.
        token = await port.token(shown)
        other = (await port.ask("POST", "/console/login", urlencode({"key": "open sesame"}))).field(
            "set-cookie"
        )
        body = urlencode({"replica": "one", "token": token})
        act = "/console/act/drain-replica"
        assert (await port.ask("POST", act, body, (f"Cookie: {other.partition(';')[0]}",))).status == 403
        assert (await port.ask("POST", act, body, (shown,))).status == 303
        assert (
            await port.ask("POST", "/console/logout", urlencode({"token": token}), (shown,))
        ).status == 303
        assert (await port.get("/console/replicas", shown)).status == 303

    on_port(use, key=key)


def test_a_stream_tells_what_changed_and_nothing_else() -> None:
    gateway = MemoryGateway()

    async def events(reader: asyncio.StreamReader, count: int) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                line = (await reader.readline()).decode()
                if line.startswith("event: "):
                    data = (await reader.readline()).decode().partition(": ")[2]
                    found.append((line[7:].strip(), json.loads(data)))
        return found

    async def use(port: Port) -> None:
        reader, writer = await port.send("GET", "/console/events?page=replicas")
        ((name, first),) = await events(reader, 1)
        assert (name, set(first)) == ("regions", {"replica_counts", "replica_table"})
        gateway.replicas = [replica("one", state="draining"), replica("two")]
        ((_, second),) = await events(reader, 1)
        assert "s-draining" in second["replica_table"]
        writer.close()
        reader, writer = await port.send("GET", "/console/events?page=overview")
        both = dict(await events(reader, 2))
        assert {"names", "points"} == set(both["points"])
        writer.close()

    on_port(use, gateway)


def test_streams_are_counted_and_given_back() -> None:
    async def use(port: Port) -> None:
        open_streams = []
        for _ in range(2):
            reader, writer = await port.send("GET", "/console/events?page=replicas")
            await reader.readuntil(b"event: regions")
            open_streams.append(writer)
        refused = await port.get("/console/events?page=replicas")
        assert (refused.status, refused.field("retry-after")) == (503, "10")
        for writer in open_streams:
            writer.close()
        async with asyncio.timeout(20):
            while port.console.watch.viewers:
                await asyncio.sleep(0.02)
        reader, writer = await port.send("GET", "/console/events?page=replicas")
        await reader.readuntil(b"event: regions")
        writer.close()

    on_port(use, options=ConsoleOptions(max_viewers=2))


def test_files_are_kept_for_a_year_under_the_address_of_their_content() -> None:
    async def use(port: Port) -> None:
        page = (await port.get("/console/overview")).body
        for address in re.findall(r'(?:href|src)="(/console/assets/[^"]+)"', page):
            said = await port.get(address)
            assert said.status == 200
            assert "immutable" in said.field("cache-control")
            again = await port.get(address, f"If-None-Match: {said.field('etag')}")
            assert (again.status, again.body, again.field("content-length")) == (304, "", "")
            assert (await port.get(address.partition("?")[0])).field("cache-control") == "no-cache"
            head = await port.ask("HEAD", address)
            assert (head.field("content-length"), head.body) == (str(len(said.body.encode())), "")
        for name in ("../site.py", "%2e%2e/site.py", "uPlot.LICENSE.txt"):
            assert (await port.get(f"/console/assets/{name}")).status == 404

    on_port(use)


def test_head_is_answered_without_a_body() -> None:
    async def use(port: Port) -> None:
        for path in ("/console", "/console/login", "/console/api/overview"):
            said = await port.ask("HEAD", path)
            assert (said.status, said.body) == (200, "")
            assert int(said.field("content-length")) > 0

    on_port(use)


def test_without_jinja_pages_say_how_to_get_it_and_values_are_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise templates.NoTemplates("the console's pages need Jinja2: pip install jinja2")

    monkeypatch.setattr(templates, "environment", missing)

    async def use(port: Port) -> None:
        said = await port.get("/console")
        assert (said.status, "pip install jinja2" in said.body) == (503, True)
        overview = json.loads((await port.get("/console/api/overview")).body)
        assert [each["replica_id"] for each in overview["replicas"]] == ["one", "two"]
        assert overview["jobs"]["balance_degree"] == 0.0

    on_port(use, jobs=MemoryJobs())


def test_the_configuration_says_where_each_value_comes_from() -> None:
    async def use(port: Port) -> None:
        body = (await port.get("/console/configuration?all=1&q=pools[0].replicas")).body
        assert "http://one" in body
        assert "default" in body

    on_port(use)
