"""Real caches to stand behind a balancer: nginx processes, each with a small store, before one origin.

A cache holds as many objects as its key zone has room for and forgets the least recently used; it answers
at most `rate_per_s` and lets the rest wait, as a machine does. It says in `X-Node` who it is and in `X-Cache`
whether it had the object. A request with `X-Probe` is answered at once, without the store: it only asks
where its path leads.
"""

import contextlib
import ctypes
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.model.errors import ConfigError, SteelyardError

START_TIMEOUT_S = 15.0
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_FILE = """daemon off; master_process off; pid {place}/pid; error_log {place}/error.log crit;
worker_rlimit_nofile 4096; events {{ worker_connections 2048; }}
http {{ access_log off; keepalive_requests 100000000;
client_body_temp_path {place}/b; proxy_temp_path {place}/t; fastcgi_temp_path {place}/f;
uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
{body} }}
"""
_CACHE = """proxy_cache_path {place}/kept levels=1:2 keys_zone=kept:{zone_kib}k use_temp_path=off;
limit_req_zone $server_addr zone=pace:32k rate={rate_per_s}r/s;
upstream origin {{ server {origin}; keepalive 32; }}
server {{ listen 127.0.0.1:{port}; default_type text/plain; add_header X-Node {name} always;
location = /health {{ return 200 ok; }}
location / {{
if ($http_x_probe) {{ return 204; }}
limit_req zone=pace burst=10000;
proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
proxy_cache kept; proxy_cache_key $uri; proxy_cache_valid 200 1h; add_header X-Node {name} always;
add_header X-Cache $upstream_cache_status always; }} }}"""
_ORIGIN = """server {{ listen 127.0.0.1:{port}; default_type text/plain; return 200 "{body}"; }}"""


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What each cache is.

    zone_kib: of nginx's key zone, which bounds how many objects it keeps; 32 is the least.
    rate_per_s: requests that it answers a second.
    """

    zone_kib: int = 64
    rate_per_s: int = 60


@dataclass(frozen=True, slots=True)
class CacheNode:
    """One running cache."""

    name: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def kept_objects(self) -> int:
        """How many objects it holds now."""
        return sum(each.is_file() for each in (self.folder / "kept").rglob("*"))

    def kill(self) -> None:
        """As a crash would."""
        self.process.kill()
        self.process.wait()


def nginx_command() -> str:
    """Where nginx is. Raises ConfigError when it is not installed."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise ConfigError("nginx is not installed: real caches need it (on Debian: nginx-light)")
    return found


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def cache_fleet(count: int, folder: Path, shape: CacheShape) -> Iterator[list[CacheNode]]:
    """`count` empty caches before one origin for the length of a block; their files go to `folder`."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        origin = free_port()
        started.append(_start(folder / "origin", origin, _ORIGIN.format(port=origin, body="x" * 1024)))
        nodes = []
        for number in range(count):
            name, port = f"cache-{number}", free_port()
            body = _CACHE.format(
                place=folder / name,
                zone_kib=shape.zone_kib,
                rate_per_s=shape.rate_per_s,
                origin=f"127.0.0.1:{origin}",
                port=port,
                name=name,
            )
            started.append(_start(folder / name, port, body))
            nodes.append(CacheNode(name, port, folder / name, started[-1]))
        yield nodes
    finally:
        end(started)


def die_with_parent() -> None:
    """In a child, before its program starts: end when the parent is gone, also when that was killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """SIGTERM to all, then wait for each; SIGKILL for one that does not end."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(place: Path, port: int, body: str) -> subprocess.Popen[bytes]:
    place.mkdir(parents=True)
    (place / "nginx.conf").write_text(_FILE.format(place=place, body=body), encoding="ascii")
    command = [nginx_command(), "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")]
    with (place / "said.log").open("wb") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=die_with_parent
        )
    try:
        wait_for_port(port, process, place / "said.log")
    except BaseException:
        end([process])
        raise
    return process


def wait_for_port(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    """Wait until a process listens. Raises SteelyardError with its last words when it does not."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    words = said.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise SteelyardError(f"nothing listens on port {port} (exit code {process.poll()}): {words[0]}")
