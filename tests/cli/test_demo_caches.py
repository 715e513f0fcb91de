"""`steelyard demo caches` at a small scale, and what it says without nginx."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "steelyard", "demo", "caches", *arguments]
    search = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | search | environment,
    )


@pytest.mark.skipif(NGINX is None, reason="needs nginx: apt install nginx-light")
def test_a_cache_is_killed_and_nothing_is_lost() -> None:
    done = demo("--requests", "400")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cache-1 is killed on the way" in done.stdout
    assert "0.0% without need" in done.stdout


@pytest.mark.skipif(Path("/usr/sbin/nginx").exists(), reason="nginx is installed: it cannot be missed")
def test_says_that_nginx_is_needed() -> None:
    done = demo(PATH="/nowhere")
    assert done.returncode == 2
    assert done.stderr == "steelyard: nginx is not installed: real caches need it (on Debian: nginx-light)\n"
