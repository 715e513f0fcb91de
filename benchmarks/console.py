"""What the console weighs, how soon it is seen, how it moves: `python -m benchmarks.console`.

A gateway of 200 replicas (one small server in many names), a jobs service of 10,000 jobs on 20 nodes,
requests at a fixed rate. In a headless Chromium, for each page: bytes of a first visit (transferred, style,
script, charts and first events included); first contentful paint, median of `LOADS` loads in a browser that
is up and has nothing in its cache; and while the page moves for `WATCHED_S` seconds, the share of frames
that came over 50 ms after the one before, the longest task of the script, and the count of elements. Times
are of the whole machine: read them beside the load that the page names. What looking costs the gateway is
measured by `python -m benchmarks.console_effect`.
"""

import statistics
import tempfile
from pathlib import Path

from tests.harness.browser import CHROMIUM

from benchmarks.console_fleet import JOBS, REPLICAS, fleet
from benchmarks.machine import describe
from steelyard.console.pages.registry import PAGES

LOADS, WATCHED_S, RATE_PER_S = 7, 6.0, 100.0
WATCH = """async (seconds) => {
  const gaps = [], tasks = [];
  new PerformanceObserver((list) => list.getEntries().forEach((each) => tasks.push(each.duration)))
    .observe({ type: "longtask" });
  let last = performance.now();
  const until = last + seconds * 1000;
  await new Promise((done) => {
    const frame = (now) => {
      gaps.push(now - last);
      last = now;
      now < until ? requestAnimationFrame(frame) : done();
    };
    requestAnimationFrame(frame);
  });
  return { late: gaps.filter((gap) => gap > 50).length / gaps.length, worst: Math.max(...gaps),
           task: Math.max(0, ...tasks), elements: document.getElementsByTagName("*").length };
}"""
WEIGHT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, each) => sum + each.transferSize, 0)"""
PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0].startTime"""


def seen(admin: str) -> list[str]:
    """A line a page: in the browser."""
    from playwright.sync_api import sync_playwright

    lines = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in PAGES:
            paints, weight, moved = [], 0, {}
            for load in range(LOADS):
                context = browser.new_context(viewport={"width": 1280, "height": 900})
                page = context.new_page()
                page.goto(f"{admin}/console/{name}" + ("?id=1" if name == "job" else ""))
                page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
                paints.append(float(page.evaluate(PAINT)))
                if load == LOADS - 1:
                    moved = page.evaluate(WATCH, WATCHED_S)
                    weight = int(page.evaluate(WEIGHT))
                context.close()
            paint = statistics.median(paints)
            lines.append(
                f"| {name} | {weight / 1000:.0f} | {paint:.0f} ({min(paints):.0f}–{max(paints):.0f}) | "
                f"{100 * moved['late']:.1f} | {moved['worst']:.0f} | {moved['task']:.0f} | "
                f"{moved['elements']:,} |"
            )
        browser.close()
    return lines


def run() -> str:
    """A Markdown page."""
    with tempfile.TemporaryDirectory() as name, fleet(Path(name), RATE_PER_S) as (front, _, _):
        pages = seen(front.addresses["admin"]) if CHROMIUM else ["no chromium"]
    head = (
        "| page | kB, first visit | first paint, ms: median (range) | frames over 50 ms, % | "
        "worst frame, ms | longest task, ms | elements |\n|---|---|---|---|---|---|---|"
    )
    title = f"# The console over {REPLICAS} replicas and {JOBS:,} jobs\n\n{describe()}\n"
    return "\n".join((title, head, *pages))


if __name__ == "__main__":
    print(run())
