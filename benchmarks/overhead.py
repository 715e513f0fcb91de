"""CPU a request, beside HAProxy and nginx where they are installed: `python -m benchmarks.overhead`.

Method: the proxy is pinned to one core; `wrk` (256 connections, a POST with a chat prompt of about 1 kB) and
an nginx that answers at once are pinned to another. Each proxy runs for the same time in turn, in
interleaved rounds; the figure is user + system time of all its processes over the requests answered, the
median of the rounds. Everything that steelyard does by default is on: metrics, ledger, prefix hashing,
health probes. Logs are off everywhere.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psutil

from benchmarks.machine import describe

ROUNDS, SECONDS, CONNECTIONS = 3, 4, 256
PROXY_CORE, LOAD_CORE = "0", "1"
LUA = """
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-none"
wrk.headers["User-Agent"] = "benchmark"
wrk.headers["Accept"] = "application/json"
local prompt = string.rep("word ", 200)
wrk.body = '{"model":"m","messages":[{"role":"user","content":"' .. prompt .. '"}],"max_tokens":16}'
"""
ANSWER = (
    '{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    '"content":"ok"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":250,"completion_tokens":1,"total_tokens":251}}'
)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start(core: str, *command: str, cwd: Path) -> subprocess.Popen[bytes]:
    """A process on one core."""
    return subprocess.Popen(["taskset", "-c", core, *command], cwd=cwd, stdout=subprocess.DEVNULL)


def wait_for(port: int) -> None:
    """Wait until something listens."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


def nginx_configuration(folder: Path, name: str, body: str) -> Path:
    """Write a configuration of one worker, without logs."""
    path = folder / f"{name}.conf"
    path.write_text(
        f"daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log /dev/null crit;\n"
        "events { worker_connections 8192; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; client_body_buffer_size 64k;\n{body}\n}}\n"
    )
    return path


def start_backends(folder: Path, ports: list[int]) -> subprocess.Popen[bytes]:
    """An nginx that answers every request at once, on several ports."""
    listens = " ".join(f"listen 127.0.0.1:{port};" for port in ports)
    models = '{"object":"list","data":[{"id":"m"}]}'
    body = (
        f"server {{ {listens} default_type application/json; location /health {{ return 200 'ok'; }}\n"
        f"location = /v1/models {{ return 200 '{models}'; }} location / {{ return 200 '{ANSWER}'; }} }}"
    )
    return start(LOAD_CORE, "nginx", "-c", str(nginx_configuration(folder, "backend", body)), cwd=folder)


def start_nginx(folder: Path, port: int, backends: list[int]) -> subprocess.Popen[bytes]:
    """nginx as the proxy."""
    servers = " ".join(f"server 127.0.0.1:{each};" for each in backends)
    body = (
        f"upstream engines {{ least_conn; {servers} keepalive 256; keepalive_requests 100000000; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{\n"
        "proxy_pass http://engines; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; } }'
    )
    return start(PROXY_CORE, "nginx", "-c", str(nginx_configuration(folder, "proxy", body)), cwd=folder)


def start_haproxy(folder: Path, port: int, backends: list[int]) -> subprocess.Popen[bytes]:
    """HAProxy as the proxy."""
    servers = "\n".join(f"  server s{each} 127.0.0.1:{each} check" for each in backends)
    path = folder / "haproxy.cfg"
    path.write_text(
        "global\n  nbthread 1\n  maxconn 4096\n"
        "defaults\n  mode http\n  http-reuse always\n"
        "  timeout client 60s\n  timeout server 60s\n  timeout connect 2s\n"
        f"frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\n"
        f"backend b\n  balance leastconn\n{servers}\n"
    )
    return start(PROXY_CORE, "haproxy", "-db", "-f", str(path), cwd=folder)


def start_steelyard(folder: Path, port: int, backends: list[int]) -> subprocess.Popen[bytes]:
    """steelyard as the proxy, with its defaults."""
    engines = [option for each in backends for option in ("--engine", f"http://127.0.0.1:{each}")]
    listen = ("--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0", "--workers", "1")
    return start(PROXY_CORE, sys.executable, "-m", "steelyard", "serve", *engines, *listen, cwd=folder)


def processes(root: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A process and all below it."""
    parent = psutil.Process(root.pid)
    return [parent, *parent.children(recursive=True)]


def cpu_s(root: subprocess.Popen[bytes]) -> float:
    """User and system time of a process and all below it."""
    return sum(times.user + times.system for times in (each.cpu_times() for each in processes(root)))


def load(port: int, folder: Path, connections: int, seconds: int) -> tuple[int, float, int]:
    """Run wrk: (requests, p50 in microseconds, errors)."""
    script = folder / "post.lua"
    script.write_text(LUA)
    command = [
        "taskset",
        "-c",
        LOAD_CORE,
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(script),
    ]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True
    ).stdout
    requests = int(re.findall(r"(\d+) requests in", text)[0])
    value, unit = re.findall(r"50%\s+([\d.]+)(us|ms|s)", text)[0]
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    return requests, float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit], errors


def measure(
    proxies: dict[str, tuple[int, subprocess.Popen[bytes]]], folder: Path
) -> dict[str, list[tuple[float, ...]]]:
    """Interleaved rounds: (CPU µs a request, requests/s, p50 at one connection, memory MB) of each proxy."""
    figures: dict[str, list[tuple[float, ...]]] = {name: [] for name in proxies}
    for _ in range(ROUNDS):
        for name, (port, process) in proxies.items():
            before = cpu_s(process)
            requests, _, errors = load(port, folder, CONNECTIONS, SECONDS)
            if errors:
                raise SystemExit(f"{name} answered {errors} of {requests} requests with an error")
            cpu = (cpu_s(process) - before) / requests * 1e6
            memory = max(each.memory_info().rss for each in processes(process)) / 1e6
            figures[name].append((cpu, requests / SECONDS, load(port, folder, 1, 1)[1], memory))
    return figures


def run() -> str:
    """The table as Markdown."""
    starters: dict[str, Callable[[Path, int, list[int]], subprocess.Popen[bytes]]] = {
        "steelyard": start_steelyard
    }
    missing = [name for name in ("wrk", "nginx", "taskset") if shutil.which(name) is None]
    if missing or len(os.sched_getaffinity(0)) < 2:
        needed = ", ".join(missing) or "another core"
        return f"## CPU a request\n\nNot measured here: needs two cores and {needed}.\n"
    starters["nginx"] = start_nginx
    if shutil.which("haproxy"):
        starters["HAProxy"] = start_haproxy
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            backends = [free_port() for _ in range(4)]
            running.append(start_backends(folder, backends))
            proxies = {}
            for proxy, starter in starters.items():
                port = free_port()
                process = starter(folder, port, backends)
                running.append(process)
                proxies[proxy] = (port, process)
                wait_for(port)
            time.sleep(2)
            figures = measure(proxies, folder)
            direct_us = load(backends[0], folder, 1, 1)[1]
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()
    return _page(figures, direct_us)


def _page(figures: dict[str, list[tuple[float, ...]]], direct_us: float) -> str:
    medians = {
        name: [median(column) for column in zip(*rounds, strict=True)] for name, rounds in figures.items()
    }
    base = medians.get("HAProxy", medians["nginx"])[0]
    rows = [
        "## CPU a request\n",
        f"{describe()}; {ROUNDS} rounds of {SECONDS} s, {CONNECTIONS} connections.\n",
    ]
    peer = "HAProxy" if "HAProxy" in medians else "nginx"
    rows.append(f"| proxy | CPU µs a request | ratio to {peer} | requests/s | p50 added, µs | memory, MB |")
    rows.append("|---|---:|---:|---:|---:|---:|")
    for name, (cpu, rate, p50, memory) in medians.items():
        rows.append(
            f"| {name} | {cpu:.1f} | {cpu / base:.2f} | {rate:,.0f} | {p50 - direct_us:.0f} | {memory:.0f} |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(run())
