"""What stands before the caches: how each balancer is told its scheme, and started."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.demo.caches import CacheNode, die_with_parent, end, free_port, nginx_command, wait_for_port
from steelyard.demo.key_stream import wait_for_answer

Command = Callable[[Path, int, Sequence[CacheNode]], list[str]]


@dataclass(frozen=True, slots=True)
class Balancer:
    """One way to spread keys. command: writes a configuration into a folder and says what to run."""

    name: str
    scheme: str
    command: Command
    program: str

    def found(self) -> bool:
        """Whether it is installed."""
        return self.program == "steelyard" or shutil.which(self.program, path=_PATH) is not None


_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/sbin:/bin"


def _steelyard(policy: str) -> Command:
    def command(folder: Path, port: int, nodes: Sequence[CacheNode]) -> list[str]:
        replicas = "\n".join(f'[[pools.replicas]]\nurl = "{node.url}"\nid = "{node.name}"' for node in nodes)
        path = folder / "steelyard.toml"
        path.write_text(
            f'listen = "127.0.0.1:{port}"\nadmin = "127.0.0.1:0"\nworkers = 1\n'
            f'[[pools]]\nname = "cache"\nkind = "http"\npolicy = "{policy}"\nhash_on = "path"\n{replicas}\n'
        )
        return [sys.executable, "-m", "steelyard", "serve", str(path)]

    return command


def _nginx(folder: Path, port: int, nodes: Sequence[CacheNode]) -> list[str]:
    servers = " ".join(f"server 127.0.0.1:{node.port};" for node in nodes)
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{ access_log off; keepalive_requests 100000000;\n"
        f"upstream caches {{ hash $uri consistent; {servers} keepalive 64; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://caches;\n"
        'proxy_http_version 1.1; proxy_set_header Connection ""; } } }\n'
    )
    return [nginx_command(), "-c", str(path), "-e", str(folder / "error.log")]


def _haproxy(*scheme: str) -> Command:
    def command(folder: Path, port: int, nodes: Sequence[CacheNode]) -> list[str]:
        # The id is what its ring places a server by: without one, those behind a leaver would be renumbered.
        servers = "\n".join(
            f"  server {node.name} 127.0.0.1:{node.port} id {int(node.name.rpartition('-')[2]) + 1} check"
            for node in nodes
        )
        path = folder / "haproxy.cfg"
        path.write_text(
            "global\n  nbthread 1\n  maxconn 4000\n"
            "defaults\n  mode http\n  http-reuse always\n"
            "  timeout client 60s\n  timeout server 60s\n  timeout connect 2s\n"
            f"frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n"
            + "".join(f"  {line}\n" for line in scheme)
            + servers
            + "\n"
        )
        return [shutil.which("haproxy", path=_PATH) or "haproxy", "-db", "-f", str(path)]

    return command


_CONSISTENT = ("balance uri", "hash-type consistent")
BALANCERS = (
    Balancer("steelyard", "hash-ring (bounded loads)", _steelyard("hash-ring"), "steelyard"),
    Balancer("nginx", "hash $uri consistent", _nginx, "nginx"),
    Balancer("haproxy", "uri, consistent", _haproxy(*_CONSISTENT), "haproxy"),
    Balancer(
        "haproxy-bounded",
        "uri, consistent, hash-balance-factor 125",
        _haproxy(*_CONSISTENT, "hash-balance-factor 125"),
        "haproxy",
    ),
    Balancer("haproxy-map", "uri, map-based (its default)", _haproxy("balance uri"), "haproxy"),
    Balancer("steelyard-round-robin", "round-robin, for contrast", _steelyard("round-robin"), "steelyard"),
)


@contextlib.contextmanager
def balanced(balancer: Balancer, nodes: Sequence[CacheNode], folder: Path) -> Iterator[int]:
    """A balancer before these caches for the length of a block: the port it listens on."""
    folder.mkdir(parents=True)
    port = free_port()
    command = balancer.command(folder, port, nodes)
    with (folder / "said.log").open("wb") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=folder,
            preexec_fn=die_with_parent,
        )
    try:
        wait_for_port(port, process, folder / "said.log")
        wait_for_answer(port)
        yield port
    finally:
        end([process])
