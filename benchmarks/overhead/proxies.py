"""The proxies that can be compared: how each is found, named and started, with one worker on one core.

An executable is looked for in the environment variable named here, then on PATH; benchmarks/README.md
says how to install each. All run as they would be recommended for this job: kept connections to the
engines, logs off, metrics and health probes as each has them by default.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.overhead.backends import nginx_file
from benchmarks.overhead.load import KEY_FILE
from benchmarks.overhead.processes import PROXY_CORE, free_port, start

Starter = Callable[[list[str], Path, int, list[int]], subprocess.Popen[bytes]]


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy to compare.

    variable: the environment variable that names its command.
    command: its command when the variable is not set.
    version: arguments that make it print its version.
    starter: starts it from (command, folder, port, ports of the engines).
    replaces_workers: whether it has a parent that starts a killed worker again.
    """

    variable: str
    command: str
    version: tuple[str, ...]
    starter: Starter
    replaces_workers: bool = False

    def found(self) -> list[str] | None:
        """Its command, or None when it is not installed."""
        words = shlex.split(os.environ.get(self.variable, self.command))
        if not words or shutil.which(words[0]) is None:
            return None
        return words

    def described(self) -> str:
        """Its version, as it says itself."""
        words = self.found() or []
        done = subprocess.run([*words, *self.version], capture_output=True, text=True, check=False)
        text = done.stdout + done.stderr
        found = re.search(r"\d+\.\d+[\w.+-]*", text)
        return found[0] if found else "version unknown"


def _steelyard(*options: str) -> Starter:
    def starter(command: list[str], folder: Path, port: int, engines: list[int]) -> subprocess.Popen[bytes]:
        named = [option for each in engines for option in ("--engine", f"http://127.0.0.1:{each}")]
        listen = ("--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0", "--workers", "1")
        return start(PROXY_CORE, *command, "serve", *named, *listen, *options, cwd=folder)

    return starter


def _steelyard_with_tenants(
    command: list[str], folder: Path, port: int, engines: list[int]
) -> subprocess.Popen[bytes]:
    """Keys, limits and the fair queue, all wide enough that nobody is refused."""
    replicas = "\n".join(f'[[pools.replicas]]\nurl = "http://127.0.0.1:{each}"' for each in engines)
    path = folder / "steelyard.toml"
    path.write_text(
        f'listen = "127.0.0.1:{port}"\nadmin = "127.0.0.1:0"\nworkers = 1\n[keys]\nfile = "{folder}/keys"\n'
        '[[tenants]]\nname = "load"\nrequests_per_min = 1e9\ntokens_per_min = 1e12\nmax_concurrent = 100000\n'
        '[[pools]]\nname = "default"\n[pools.admission]\nmax_in_flight = 10000\n' + replicas + "\n"
    )
    add = (*command, "keys", "add", "load", "--config", str(path))
    made = subprocess.run(add, cwd=folder, capture_output=True, text=True, check=True)
    (folder / KEY_FILE).write_text(made.stdout.split()[-1], encoding="ascii")
    return start(PROXY_CORE, *command, "serve", str(path), cwd=folder)


def _nginx(command: list[str], folder: Path, port: int, engines: list[int]) -> subprocess.Popen[bytes]:
    servers = " ".join(f"server 127.0.0.1:{each};" for each in engines)
    body = (
        f"upstream engines {{ least_conn; {servers} keepalive 256; keepalive_requests 100000000; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=8192; location / {{\n"
        "proxy_pass http://engines; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; } }'
    )
    return start(PROXY_CORE, *command, "-c", str(nginx_file(folder, "proxy", body)), cwd=folder)


def _haproxy(
    command: list[str], folder: Path, port: int, engines: list[int], more: str = ""
) -> subprocess.Popen[bytes]:
    servers = "\n".join(f"  server s{each} 127.0.0.1:{each} check" for each in engines)
    path = folder / "haproxy.cfg"
    path.write_text(
        "global\n  nbthread 1\n  maxconn 9000\n"
        "defaults\n  mode http\n  http-reuse always\n"
        "  timeout client 60s\n  timeout server 60s\n  timeout connect 2s\n"
        f"{more}frontend f\n  bind 127.0.0.1:{port} backlog 8192\n  default_backend b\n"
        f"backend b\n  balance leastconn\n{servers}\n"
    )
    return start(PROXY_CORE, *command, "-db", "-f", str(path), cwd=folder)


def _haproxy_no_delay(
    command: list[str], folder: Path, port: int, engines: list[int]
) -> subprocess.Popen[bytes]:
    """Its defaults let the kernel hold a chunk back for more to come, up to 200 ms (MSG_MORE): that saves
    work on streams, and no user of a chat wants it. This is its option for who wants each piece at once."""
    return _haproxy(command, folder, port, engines, "  option http-no-delay\n")


_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/{manager}
          stat_prefix: f
          stream_idle_timeout: 60s
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: engines, timeout: 0s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: engines
    type: STATIC
    lb_policy: LEAST_REQUEST
    connect_timeout: 2s
    circuit_breakers:
      thresholds: [{{max_connections: 9000, max_pending_requests: 9000, max_requests: 9000}}]
    load_assignment:
      cluster_name: engines
      endpoints: [{{lb_endpoints: [{engines}]}}]
"""


def _envoy(command: list[str], folder: Path, port: int, engines: list[int]) -> subprocess.Popen[bytes]:
    form = "{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}"
    path = folder / "envoy.yaml"
    path.write_text(
        ENVOY.format(port=port, manager=_MANAGER, engines=", ".join(form.format(each) for each in engines))
    )
    options = ("--concurrency", "1", "--log-level", "off", "--disable-hot-restart")
    return start(PROXY_CORE, *command, "-c", str(path), *options, cwd=folder)


def _sglang_router(
    command: list[str], folder: Path, port: int, engines: list[int]
) -> subprocess.Popen[bytes]:
    urls = (f"http://127.0.0.1:{each}" for each in engines)
    options = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "error")
    monitoring = ("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()))
    # Its runtime makes a thread a core it may use: pinned, that is one.
    return start(PROXY_CORE, *command, "launch", *options, *monitoring, "--worker-urls", *urls, cwd=folder)


def _litellm(command: list[str], folder: Path, port: int, engines: list[int]) -> subprocess.Popen[bytes]:
    models = [
        f"  - model_name: m\n    litellm_params: {{model: openai/m, api_key: none, "
        f"api_base: 'http://127.0.0.1:{each}/v1'}}"
        for each in engines
    ]
    path = folder / "litellm.yaml"
    path.write_text("model_list:\n" + "\n".join(models) + "\nlitellm_settings: {telemetry: false}\n")
    options = ("--config", str(path), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the shipped price list: nothing is fetched
        # It refuses to start without a key; it listens on loopback only, as do the others, without one.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    return start(PROXY_CORE, *command, *options, cwd=folder, environment=environment)


_HERE = f"{sys.executable} -m steelyard"
PROXIES: dict[str, Proxy] = {
    "steelyard": Proxy("PEER_STEELYARD", _HERE, ("--version",), _steelyard(), replaces_workers=True),
    "steelyard-least-requests": Proxy(
        "PEER_STEELYARD",
        _HERE,
        ("--version",),
        _steelyard("--policy", "least-requests"),
        replaces_workers=True,
    ),
    "steelyard-tenants": Proxy(
        "PEER_STEELYARD", _HERE, ("--version",), _steelyard_with_tenants, replaces_workers=True
    ),
    # Another build of steelyard, to see in one run what a change did.
    "steelyard-other": Proxy("PEER_STEELYARD_OTHER", "", ("--version",), _steelyard(), replaces_workers=True),
    "haproxy": Proxy("PEER_HAPROXY", "haproxy", ("-v",), _haproxy),
    "haproxy-no-delay": Proxy("PEER_HAPROXY", "haproxy", ("-v",), _haproxy_no_delay),
    "nginx": Proxy("PEER_NGINX", "nginx", ("-v",), _nginx, replaces_workers=True),
    "envoy": Proxy("PEER_ENVOY", "envoy", ("--version",), _envoy),
    "sglang-router": Proxy("PEER_SGLANG_ROUTER", "sglang-router", ("--version",), _sglang_router),
    "litellm": Proxy("PEER_LITELLM", "litellm", ("--version",), _litellm),
}
