"""TLS in front, to engines and on the admin port, with real processes."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.harness.certificates import Certificates
from tests.harness.load import BODY
from tests.harness.processes import Running, engines, running, wait_until
from tests.harness.raw_client import read_answer
from tests.harness.tls_proxy import TlsProxy

ENGINE_KEY = "the-engines-own-key"
CLIENT_KEY = "the-clients-key"
CONFIGURATION = """
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 1
[tls]
certificate_file = "{folder}/front.pem"
key_file = "{folder}/front.key"
[admin_access]
key_file = "{folder}/admin.secret"
[admin_access.tls]
certificate_file = "{folder}/front.pem"
key_file = "{folder}/front.key"
client_ca_file = "{folder}/authority.pem"
[[pools]]
[[pools.replicas]]
url = "https://localhost:{port}"
[pools.engine]
ca_file = "{ca_file}"
server_name = "{server_name}"
api_key_file = "{folder}/engine.secret"
certificate_file = "{folder}/gateway.pem"
certificate_key_file = "{folder}/gateway.key"
"""


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    made = Certificates.make(tmp_path)
    for name in ("front", "engine"):
        made.issue(name, "localhost", "127.0.0.1")
    made.issue("gateway", "gateway.test")
    for name, secret in (("engine", ENGINE_KEY), ("admin", "admin-key")):
        (tmp_path / f"{name}.secret").write_text(secret)
        (tmp_path / f"{name}.secret").chmod(0o600)
    return made


def written(certificates: Certificates, port: int, server_name: str = "", ca_file: str = "") -> Path:
    folder = certificates.folder
    path = folder / "steelyard.toml"
    path.write_text(
        CONFIGURATION.format(
            folder=folder, port=port, server_name=server_name, ca_file=ca_file or certificates.authority_file
        )
    )
    return path


@pytest.fixture
def engine(certificates: Certificates) -> Iterator[TlsProxy]:
    folder = certificates.folder
    pem, key = folder / "engine.pem", folder / "engine.key"
    with (
        engines(1) as fleet,
        TlsProxy(fleet[0].addresses["engine"], pem, key, certificates.authority_file) as proxy,
    ):
        yield proxy


def ask(front: Running, context: ssl.SSLContext, body: bytes = BODY) -> tuple[int, str]:
    request = urllib.request.Request(
        front.addresses["gateway"] + "/v1/chat/completions",
        data=body,
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {CLIENT_KEY}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_both_ways_and_the_clients_key_stays_here(certificates: Certificates, engine: TlsProxy) -> None:
    trusting = ssl.create_default_context(cafile=str(certificates.authority_file))
    with running("serve", str(written(certificates, engine.port)), listens=("gateway", "admin")) as front:
        assert front.addresses["gateway"].startswith("https://")
        assert ask(front, trusting)[0] == 200
        streamed = BODY.replace(b"}]", b'}], "stream": true')
        assert ask(front, trusting, streamed)[1].rstrip().endswith("data: [DONE]")
        wait_until(lambda: b"GET /health" in engine.received)
        assert b"X-Forwarded-Proto: https" in engine.received
        assert engine.received.count(f"Bearer {ENGINE_KEY}".encode()) >= 3  # probes show it too
        assert CLIENT_KEY.encode() not in engine.received
        serial = peer_serial(front, trusting)
        certificates.issue("front", "localhost", "127.0.0.1")
        wait_until(lambda: peer_serial(front, trusting) != serial)
        assert ask(front, trusting)[0] == 200
        check_admin(front, certificates, trusting)


def test_a_kept_connection_serves_request_after_request(certificates: Certificates, engine: TlsProxy) -> None:
    trusting = ssl.create_default_context(cafile=str(certificates.authority_file))
    streamed = BODY.replace(b"}]", b'}], "stream": true')
    with running("serve", str(written(certificates, engine.port)), listens=("gateway", "admin")) as front:
        place = urlsplit(front.addresses["gateway"])
        client = http.client.HTTPSConnection(place.netloc, timeout=10, context=trusting)
        with contextlib.closing(client):
            # Which reads and writes meet in one turn of the loop is chance: often enough for all orders.
            for _ in range(20):
                for body in (BODY, streamed):
                    client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
                    with client.getresponse() as answer:
                        assert answer.status == 200
                        assert answer.read()


def test_a_refused_client_in_mid_upload_can_send_on_and_read_why(
    certificates: Certificates, engine: TlsProxy
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificates.authority_file))
    with running("serve", str(written(certificates, engine.port)), listens=("gateway", "admin")) as front:
        place = urlsplit(front.addresses["gateway"])
        address = (place.hostname or "", place.port or 0)
        with (
            socket.create_connection(address, timeout=20) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n")
            for _ in range(80):
                client.sendall(b"x" * 100_000)  # a reset would end this
            answer = read_answer(client)
            assert (answer.status, answer.whole, answer.value("connection")) == (413, True, "close")
            assert client.recv(1) == b""  # a farewell, and soon


def ends(connection: ssl.SSLSocket, farewell: bool) -> None:
    """Close, with TLS's farewell or without."""
    if farewell:
        with contextlib.suppress(OSError):
            connection.unwrap()
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextlib.contextmanager
def engine_without_length(certificates: Certificates) -> Iterator[int]:
    """The port of an engine whose answers end with the connection; with a farewell for /clean only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.folder / "engine.pem", certificates.folder / "engine.key")

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                request = connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nabc")
                ends(connection, farewell=b" /clean " in request)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_body_that_ends_with_its_connection_is_whole_only_behind_a_farewell(
    certificates: Certificates,
) -> None:
    """Else whoever can cut the connection can cut the answer (RFC 9112 section 9.8)."""
    trusting = ssl.create_default_context(cafile=str(certificates.authority_file))
    with (
        engine_without_length(certificates) as port,
        running("serve", str(written(certificates, port)), listens=("gateway", "admin")) as front,
    ):
        place = urlsplit(front.addresses["gateway"])
        for path, whole in (("/clean", True), ("/ragged", False)):
            with (
                socket.create_connection((place.hostname or "", place.port or 0), timeout=20) as plain,
                trusting.wrap_socket(plain, server_hostname="localhost") as client,
            ):
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                answer = read_answer(client)
                assert (answer.status, answer.body, answer.whole) == (200, b"abc", whole)


def peer_serial(front: Running, context: ssl.SSLContext) -> str:
    host, _, port = front.addresses["gateway"].removeprefix("https://").partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        certificate = wrapped.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def check_admin(front: Running, certificates: Certificates, trusting: ssl.SSLContext) -> None:
    url = front.addresses["admin"] + "/status"
    with pytest.raises((urllib.error.URLError, OSError)):  # no client certificate
        urllib.request.urlopen(url, timeout=10, context=trusting)
    folder = certificates.folder
    trusting.load_cert_chain(folder / "gateway.pem", folder / "gateway.key")
    with pytest.raises(urllib.error.HTTPError, match="401"):  # no key
        urllib.request.urlopen(url, timeout=10, context=trusting)
    request = urllib.request.Request(url, headers={"Authorization": "Bearer admin-key"})
    with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:
        assert json.loads(answer.read())["generation"] == 1


@pytest.mark.parametrize("fault", ["another name", "another authority"])
def test_an_engine_that_cannot_be_verified_gets_nothing(
    certificates: Certificates, engine: TlsProxy, fault: str, tmp_path: Path
) -> None:
    (tmp_path / "stranger").mkdir()
    stranger = Certificates.make(tmp_path / "stranger")
    path = (
        written(certificates, engine.port, server_name="another.test")
        if fault == "another name"
        else written(certificates, engine.port, ca_file=str(stranger.authority_file))
    )
    trusting = ssl.create_default_context(cafile=str(certificates.authority_file))
    with running("serve", str(path), listens=("gateway", "admin")) as front:
        status, said = ask(front, trusting)
        assert status == 502
        assert "certificate verify failed" in said
    assert engine.received == b""
