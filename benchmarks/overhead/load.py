"""wrk, and every error it reports."""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.overhead.processes import LOAD_CORE

# 256 different prompts in turn, built before the load begins: a prompt cache index meets more than one key.
LUA = """
local prompts = {{}}
local at = 0
init = function(arguments)
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer {key}"
  wrk.headers["User-Agent"] = "benchmark"
  wrk.headers["Accept"] = "application/json"
  local words = string.rep("word ", {words})
  for i = 1, 256 do
    local body = '{{"model":"m","messages":[{{"role":"user","content":"question ' .. i .. ' ' .. words ..
      '"}}],"max_tokens":16}}'
    prompts[i] = wrk.format("POST", "/v1/chat/completions", nil, body)
  end
end
request = function()
  at = at % 256 + 1
  return prompts[at]
end
"""
KEY_FILE = "key.txt"  # written by a proxy that asks for a key
_UNIT_US = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass(frozen=True, slots=True)
class Answers:
    """What wrk saw in one run."""

    requests: int
    p50_us: float
    p99_us: float
    seconds: float
    wrong_status: int
    socket_errors: int

    @property
    def errors(self) -> int:
        """Answers that were none."""
        return self.wrong_status + self.socket_errors


def key_of(place: Path) -> str:
    """The key to show to the proxy whose folder this is: any, where it asks for none."""
    kept = place / KEY_FILE
    return kept.read_text(encoding="ascii") if kept.exists() else "sk-none"


def write_script(folder: Path, prompt_bytes: int, key: str) -> Path:
    """The requests, as a Lua script for wrk."""
    path = folder / f"prompts-{prompt_bytes}.lua"
    path.write_text(LUA.format(words=max(1, prompt_bytes // 5), key=key))
    return path


def parse(text: str) -> Answers:
    """Read wrk's report. Raises ValueError when it is not one."""
    done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", text)
    quantiles = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s|m)) *$", text, re.MULTILINE))
    if done is None or len(quantiles) < 2:
        raise ValueError(f"wrk's report has no requests or quantiles: {text[:300]!r}")
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Answers(
        requests=int(done[1]),
        p50_us=_microseconds(quantiles["50"]),
        p99_us=_microseconds(quantiles["99"]),
        seconds=_microseconds(done[2] + done[3]) / 1e6,
        wrong_status=int(wrong[1]) if wrong else 0,
        socket_errors=sum(map(int, broken.groups())) if broken else 0,
    )


def _microseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise ValueError(f"wrk gave {text!r} where a time was expected")
    return float(found[1]) * (_UNIT_US | {"m": 60e6})[found[2]]


def run_wrk(
    port: int,
    script: Path,
    *,
    connections: int,
    seconds: int,
    halfway: Callable[[], None] | None = None,
) -> Answers:
    """Load one port from the load core; `halfway` is called in the middle of it."""
    command = ("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency")
    with subprocess.Popen(
        ["taskset", "-c", LOAD_CORE, *command, "-s", str(script), f"http://127.0.0.1:{port}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if halfway is not None:
            time.sleep(seconds / 2)
            halfway()
        text, _ = process.communicate(timeout=seconds + 30)
    return parse(text)
