"""The console in a real browser, over a real gateway, real emulated engines and a real jobs service."""

import contextlib
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.harness.browser import PICTURES, WIDTHS, chromium
from tests.harness.jobs import RunningJobs, jobs_service
from tests.harness.load import Load
from tests.harness.processes import Running, configured_gateway, engines, wait_until

from steelyard.console.pages.registry import PAGES

SCRIPT = "<script>alert(1)</script>"
FAINT_TEXT = """() => {
  const parse = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return found.length < 4 ? [...found, 1] : found;
  };
  const over = (top, below) => below.slice(0, 3).map((each, at) => top[at] * top[3] + each * (1 - top[3]));
  const light = (colour) => {
    const [r, g, b] = colour.map((each) => {
      const part = each / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parse(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour : over(colour, ground(element.parentElement));
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.nodeValue.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, .hidden, svg")) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const colour = parse(style.color);
    colour[3] *= Number(style.opacity);
    const [a, b] = [light(over(colour, below)), light(below)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${node.nodeValue.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return faint.slice(0, 10);
}"""
COUNTING = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done"


@dataclass
class Fleet:
    """Everything that the console shows."""

    front: Running
    jobs: RunningJobs
    audit: Path
    running: str
    waiting: str
    script: str

    @property
    def admin(self) -> str:
        return self.front.addresses["admin"]

    def overview(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.admin}/console/api/overview", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


def _configuration(folder: Path, urls: list[str], state: Path) -> str:
    replicas = "".join(
        f'[[pools.replicas]]\nurl = "{url}"\nid = "gpu-{number}"\n' for number, url in enumerate(urls)
    )
    return f"""workers = 1
access_log = "{folder / "access.jsonl"}"
[admin_access]
audit_log = "{folder / "audit.jsonl"}"
[console]
state = "{state}"
[[pools]]
shadow = "least-requests"
{replicas}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def fleet(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("console")
    with contextlib.ExitStack() as stack:
        jobs = stack.enter_context(jobs_service(folder / "state", "A", "B"))
        urls = [each.addresses["engine"] for each in stack.enter_context(engines(3))]
        text = _configuration(folder, urls, folder / "state")
        front = stack.enter_context(configured_gateway(folder, text))
        running = jobs.submit(COUNTING, name="train")
        waiting = jobs.submit("sleep 1", name="huge", resources={"cpu_cores": 100})
        script = jobs.submit("sleep 600", name=SCRIPT)
        for job in (running, script):
            jobs.wait_state(job, "running")
        stack.enter_context(Load(front.addresses["gateway"], connections=4, rate_per_s=20, streams=2))
        found = Fleet(front, jobs, folder / "audit.jsonl", running, waiting, script)
        wait_until(lambda: found.overview()["requests"].get("2xx", 0) > 60)
        yield found


@dataclass
class Tab:
    """A page of the browser, with all that it complained of."""

    page: Any
    fleet: Fleet
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.fleet.admin}/console/{path}")

    def wait(self, text: str, inside: str = "body") -> None:
        self.page.locator(inside).get_by_text(text).first.wait_for(timeout=20_000)


@contextlib.contextmanager
def tab(browser: Any, fleet: Fleet, width: str = "wide", theme: str = "light") -> Iterator[Tab]:
    wide, high = WIDTHS[width]
    context = browser.new_context(viewport={"width": wide, "height": high}, color_scheme=theme)
    opened = Tab(context.new_page(), fleet)
    # Violations of the content security policy come this way too.
    opened.page.on("console", lambda said: opened.complaints.append(f"{said.type}: {said.text}"))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    try:
        yield opened
        assert opened.complaints == []
    finally:
        context.close()


def _addresses(fleet: Fleet) -> dict[str, str]:
    request_id = fleet.overview() and _last_request(fleet)
    return {name: name for name in PAGES if name != "job"} | {
        "overview": "",
        "job": f"job?id={fleet.running}",
        "requests": f"requests?id={request_id}",
        "configuration": "configuration?all=1",
    }


def _last_request(fleet: Fleet) -> str:
    with urllib.request.urlopen(f"{fleet.admin}/picks", timeout=10) as answer:
        picks = json.load(answer)
    # One that is over: its line is in the access log.
    return str(next(pick for pick in reversed(picks) if len(pick["candidates"]) > 1)["request_id"])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_every_page_is_live_and_fits_in_both_widths_and_themes(
    browser: Any, fleet: Fleet, width: str, theme: str
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tab(browser, fleet, width, theme) as opened:
        for name, address in _addresses(fleet).items():
            opened.open(address)
            if name != "configuration":
                opened.page.locator('#live[data-state="on"]').wait_for(timeout=20_000)
            if name == "overview":
                opened.page.locator(".chart canvas").nth(3).wait_for(timeout=20_000)
            if name == "requests":
                opened.wait("Candidates", "#request_receipt")
            if name == "job":
                opened.wait("line", "#log")
            if name == "policies":
                opened.wait("Decisions compared")
            across = opened.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert across <= 0, f"{name} is {across} px too wide for {width}"
            colours = opened.page.evaluate("getComputedStyle(document.documentElement).colorScheme")
            assert colours == theme
            opened.page.screenshot(path=str(PICTURES / f"{name}-{width}-{theme}.png"))


def test_a_replica_is_drained_and_restored_by_button_and_the_page_follows(browser: Any, fleet: Fleet) -> None:
    with tab(browser, fleet) as opened:
        opened.open("replicas")
        row = opened.page.locator('[id="r-gpu-1"]')
        row.get_by_role("button", name="Drain").click()
        opened.wait("gpu-1 takes no new requests", "#said")
        row.get_by_text("draining", exact=True).wait_for(timeout=20_000)
        row.get_by_role("button", name="Restore").click()
        row.get_by_text("healthy", exact=True).wait_for(timeout=20_000)
    text = fleet.audit.read_text()
    assert "POST /replicas/gpu-1/drain" in text
    assert "POST /replicas/gpu-1/restore" in text


def test_buttons_work_without_the_script(browser: Any, fleet: Fleet) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for action, state in (("Drain", "draining"), ("Restore", "starting")):
        page.goto(f"{fleet.admin}/console/replicas")
        page.locator('[id="r-gpu-2"]').get_by_role("button", name=action).click()
        assert page.url.startswith(f"{fleet.admin}/console/replicas")
        by_id = {each["replica_id"]: each for each in _replicas(fleet)}
        assert by_id["gpu-2"]["state"] in (state, "healthy" if action == "Restore" else state)
    context.close()


def _replicas(fleet: Fleet) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{fleet.admin}/replicas", timeout=10) as answer:
        found = json.load(answer)
    return [each | {"replica_id": each["id"]} for each in found]


def test_a_receipt_is_drawn_and_requests_are_filtered(browser: Any, fleet: Fleet) -> None:
    with tab(browser, fleet) as opened:
        opened.open("requests")
        opened.page.locator("#request_table tbody th a").first.wait_for(timeout=20_000)
        request_id = _last_request(fleet)
        opened.page.locator(".filter input").fill(request_id)
        opened.page.keyboard.press("Enter")
        link = opened.page.locator("#request_table tbody th a").get_by_text(request_id, exact=True).first
        link.click(timeout=20_000)
        receipt = opened.page.locator("#request_receipt")
        receipt.locator("tr.chosen").first.wait_for(timeout=20_000)
        assert receipt.locator(".bars svg").count() >= 4
        opened.wait("Status", "#request_receipt")


def test_a_job_tells_its_log_and_is_paused_resumed_moved_and_cancelled(browser: Any, fleet: Fleet) -> None:
    job = fleet.jobs.submit(COUNTING, name="steered")
    task = fleet.jobs.wait_state(job, "running")["task_views"][0]
    other = "B" if task["node"] == "A" else "A"
    with tab(browser, fleet) as opened:
        opened.open(f"job?id={job}")
        opened.wait("line 3", "#log")
        opened.page.locator(".move select").select_option(other)
        opened.page.get_by_role("button", name="Move").click()
        opened.wait(f"{job}.0 moves to {other}", "#said")
        wait_until(lambda: fleet.jobs.task(job)["node"] == other, timeout_s=40)
        fleet.jobs.wait_state(job, "running")
        opened.page.get_by_role("button", name="Pause").click()
        opened.wait("paused", "#job_head .state")
        opened.page.get_by_role("button", name="Resume").click()
        opened.wait("running", "#job_head .state")
        opened.page.get_by_text("Cancel…").click()
        opened.page.get_by_role("button", name="Cancel steered").click()
        opened.wait("cancelled", "#job_head .state")
        assert f"{other}" in opened.page.locator("#job_tasks").inner_text()
    text = fleet.audit.read_text()
    for op in ("move", "pause", "resume", "cancel"):
        assert f"POST /console/jobs/{op}" in text


def test_a_waiting_job_says_why_and_a_strange_name_is_only_a_name(browser: Any, fleet: Fleet) -> None:
    with tab(browser, fleet) as opened:
        opened.open(f"job?id={fleet.waiting}")
        opened.page.locator("#job_tasks .warn").wait_for(timeout=20_000)
        opened.open("jobs")
        assert opened.page.locator("#job_table").get_by_text(SCRIPT, exact=True).is_visible()
        opened.page.locator("#job_gantt .g-bar").first.wait_for(timeout=20_000)
        opened.open("jobs?state=queued")
        opened.wait("huge", "#job_table")
        assert opened.page.locator("#job_table tbody tr").count() == 1


def test_a_node_is_drained_and_restored(browser: Any, fleet: Fleet) -> None:
    with tab(browser, fleet) as opened:
        opened.open("nodes")
        row = opened.page.locator('[id="n-B"]')
        row.get_by_role("button", name="Drain").click()
        row.get_by_text("drained", exact=True).wait_for(timeout=20_000)
        row.get_by_role("button", name="Restore").click()
        row.get_by_text("up", exact=True).wait_for(timeout=20_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_can_be_read_against_its_ground(browser: Any, fleet: Fleet, theme: str) -> None:
    """WCAG 2.2, success criterion 1.4.3: a contrast of 4.5 at least, but 3 for large text."""
    with tab(browser, fleet, theme=theme) as opened:
        for name, address in _addresses(fleet).items():
            opened.open(address)
            faint = opened.page.evaluate(FAINT_TEXT)
            assert faint == [], f"{name}: {faint}"


def test_the_keyboard_reaches_everything_and_the_theme_is_remembered(browser: Any, fleet: Fleet) -> None:
    with tab(browser, fleet) as opened:
        opened.open("replicas")
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached: set[str] = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(
                page.evaluate("document.activeElement.innerText || document.activeElement.name || ''")
            )
        assert {"Overview", "Jobs", "Drain", "q"} <= reached
        page.keyboard.press("t")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "q"
        page.locator("h1").click()
        page.keyboard.press("4")
        page.wait_for_url(re.compile("/console/jobs$"))


def test_focus_and_an_open_menu_stay_while_the_page_moves(browser: Any, fleet: Fleet) -> None:
    with tab(browser, fleet) as opened:
        opened.open(f"job?id={fleet.running}")
        opened.page.locator('#live[data-state="on"]').wait_for(timeout=20_000)
        opened.page.get_by_text("Cancel…").click()
        ran = opened.page.locator("#job_head .quiet").first.inner_text()
        opened.page.wait_for_function(
            "before => document.querySelector('#job_head .quiet').innerText !== before", arg=ran
        )
        assert opened.page.get_by_role("button", name="Cancel train").is_visible()
        assert opened.page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_a_page_weighs_little(browser: Any, fleet: Fleet) -> None:
    """At most 150 kB in all, first visit, style, script, charts and the first events included."""
    with tab(browser, fleet) as opened:
        opened.open("")
        opened.page.locator(".chart canvas").nth(3).wait_for(timeout=20_000)
        sizes: dict[str, int] = opened.page.evaluate(
            "Object.fromEntries([...performance.getEntriesByType('navigation'), "
            "...performance.getEntriesByType('resource')].map(each => [each.name, each.transferSize]))"
        )
        assert len(sizes) >= 5
        assert sum(sizes.values()) <= 150_000, sizes
