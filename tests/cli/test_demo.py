"""`steelyard demo` at a small scale: real processes, an engine killed, a table and a page."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_demo_loses_nothing_and_writes_its_report(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "demo", "--seconds", "3", "--policy", "least-requests"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "STEELYARD_DATA": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr  # 1 when a request was lost
    assert "270 requests a policy from the shipped generator" in done.stdout
    assert "least-requests" in done.stdout
    page = (tmp_path / "out" / "demo" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 2
    assert "least-requests" in page
