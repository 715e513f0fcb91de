"""Plain web servers and caches behind the gateway, over real sockets: methods, versions, bodies, routes."""

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.harness.processes import Running, running, wait_until
from tests.harness.web_servers import NGINX, WebServer, nginx_caches, web_servers

CONFIGURATION = """
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 1

[[pools]]
name = "sites"
kind = "http"
policy = "round-robin"
health = {{ path = "/healthz" }}
replicas = [{sites}]

[[pools]]
name = "caches"
kind = "http"
policy = "hash-ring"
hash_on = "path"
health = {{ path = "/healthz" }}
replicas = [{caches}]

[[routes]]
path_prefix = "/"
pool = "sites"

[[routes]]
path_prefix = "/kept/"
pool = "caches"
"""


def configuration(folder: Path, sites: list[str], caches: list[str]) -> str:
    path = folder / "steelyard.toml"
    tables = [
        ", ".join(f'{{ url = "{url}", id = "{kind}-{number}" }}' for number, url in enumerate(urls))
        for kind, urls in (("site", sites), ("cache", caches))
    ]
    path.write_text(CONFIGURATION.format(sites=tables[0], caches=tables[1]))
    return str(path)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[WebServer]]:
    with web_servers(3) as started:
        yield started


@pytest.fixture(scope="module")
def front(servers: list[WebServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    urls = [server.url for server in servers]
    path = configuration(tmp_path_factory.mktemp("routes"), urls, urls)
    with running("serve", path, listens=("gateway", "admin")) as child:
        yield child


def connected(front: Running) -> socket.socket:
    parts = urlsplit(front.addresses["gateway"])
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)


def raw(front: Running, data: bytes) -> bytes:
    """Send bytes; read until the gateway closes."""
    with connected(front) as client:
        client.sendall(data)
        received = b""
        while piece := client.recv(65_536):
            received += piece
        return received


def get(front: Running, path: str) -> tuple[bytes, bytes]:
    answer = raw(front, f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def test_a_head_request_has_the_length_and_no_body_and_the_connection_goes_on(front: Running) -> None:
    head = b"HEAD /page HTTP/1.1\r\nHost: h\r\n\r\n"
    answer = raw(front, head + b"GET /page HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    first, second, body = answer.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200")
    assert b"content-length: 7" in first.lower()
    assert second.startswith(b"HTTP/1.1 200")
    assert body.endswith(b" /page")


def test_http_1_0_is_answered_and_closed(front: Running) -> None:
    answer = raw(front, b"GET /old HTTP/1.0\r\n\r\n")  # which needs no Host, and says by itself: close
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b" /old")


def test_http_1_0_with_keep_alive_is_kept(front: Running) -> None:
    one = b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answer = raw(front, one + one + b"GET /last HTTP/1.0\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.lower().count(b"connection: keep-alive") == 2
    assert answer.endswith(b" /last")


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
@pytest.mark.parametrize("chunked", [True, False])
def test_an_upload_arrives_whole(
    front: Running, servers: list[WebServer], expect: bytes, chunked: bool
) -> None:
    body = bytes(range(256)) * 1_000
    size = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    head = b"PUT /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%b\r\n%b\r\n" % (size, expect)
    with connected(front) as client:
        client.sendall(head)
        if expect:
            assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        if chunked:
            for at in range(0, len(body), 10_007):  # chunks of an odd size, so that reads cut them
                piece = body[at : at + 10_007]
                client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.sendall(b"0\r\n\r\n")
        else:
            client.sendall(body)
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 204")
    assert [each for server in servers for each in server.bodies] == [body]
    for server in servers:
        server.bodies.clear()


def test_paths_are_shared_out_by_policy(front: Running) -> None:
    served = Counter(get(front, f"/page/{number}")[1][:1] for number in range(9))
    assert served == {b"a": 3, b"b": 3, b"c": 3}


def test_a_hashed_path_always_meets_the_same_server(front: Running) -> None:
    owners = [{get(front, f"/kept/{number}?v=1")[1][:1] for _ in range(3)} for number in range(20)]
    assert all(len(each) == 1 for each in owners)
    assert set.union(*owners) == {b"a", b"b", b"c"}


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")
def test_each_path_is_kept_by_one_of_several_nginx_caches(tmp_path: Path) -> None:
    with web_servers(1) as (origin,), nginx_caches(3, origin.url, tmp_path) as caches:
        path = configuration(tmp_path, [origin.url], caches)
        with running("serve", path, listens=("gateway", "admin")) as front:
            paths = [f"/kept/{number}" for number in range(30)]
            wait_until(lambda: get(front, "/kept/0")[1] == b"a /kept/0")
            for _ in range(3):
                assert all(get(front, each)[1] == f"a {each}".encode() for each in paths)
    # Spread by any other policy, most paths would have been asked of the origin by each of the three.
    assert origin.asked == {f"GET {each}": 1 for each in paths}
