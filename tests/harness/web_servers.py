"""Plain web servers in threads of the test, and nginx as a cache before them where it is installed."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


class WebServer:
    """Answers every path with its own name and the path, and counts what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection to a `WebServer`."""

    protocol_version = "HTTP/1.1"

    def __init__(self, owner: WebServer, *connection: Any) -> None:
        self._owner = owner
        super().__init__(*connection)

    def do_GET(self) -> None:
        body = f"{self._owner.name} {self.path}".encode()
        if not self.path.startswith("/health"):
            self._owner.asked[f"{self.command} {self.path}"] += 1
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Cache-Control", "max-age=600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self._owner.bodies.append(self.rfile.read(length) if length else self._chunks())
        self.send_response(204)
        self.end_headers()

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it overrides
        pass


@contextlib.contextmanager
def web_servers(count: int) -> Iterator[list[WebServer]]:
    """Servers for the length of a block, named a, b, c ..."""
    servers = [WebServer(chr(ord("a") + number)) for number in range(count)]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()


@contextlib.contextmanager
def nginx_caches(count: int, origin: str, folder: Path) -> Iterator[list[str]]:
    """nginx processes that cache what `origin` answers: their URLs. nginx must be installed."""
    assert NGINX is not None
    processes: list[subprocess.Popen[bytes]] = []
    urls: list[str] = []
    try:
        for number in range(count):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            place = folder / f"cache-{number}"
            place.mkdir()
            (place / "nginx.conf").write_text(
                f"daemon off; master_process off; pid {place}/pid; error_log {place}/error.log crit;\n"
                "events {}\nhttp { access_log off;\n"
                f"client_body_temp_path {place}/b; proxy_temp_path {place}/t; fastcgi_temp_path {place}/f;\n"
                f"uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n"
                f"proxy_cache_path {place}/kept keys_zone=kept:1m;\n"
                f"server {{ listen 127.0.0.1:{port}; location / {{\n"
                f"proxy_pass {origin}; proxy_cache kept; proxy_cache_valid 200 10m; }} }} }}\n"
            )
            command = [NGINX, "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")]
            processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            urls.append(f"http://127.0.0.1:{port}")
        for url in urls:
            _wait_for(url)
        yield urls
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _wait_for(url: str) -> None:
    port = int(url.rpartition(":")[2])
    deadline_s = time.monotonic() + 15
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline_s, f"nginx does not listen on {url}"
        time.sleep(0.02)
