"""The admin port: who may do what, and what is refused before anything is done."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from steelyard.config.access import AdminOptions
from steelyard.gateway import admin, answers
from steelyard.gateway.admin import AdminServer
from steelyard.model.errors import ConfigError
from steelyard.runtime.admin_exchange import AdminRequest, EventStream
from steelyard.runtime.listeners import listen


def answered(request: str, options: AdminOptions | None = None) -> tuple[int, list[str]]:
    """(status, who was let in) for one request; PORT stands for the port."""
    said, let_in = said_to(request, options)
    return int(said.split()[1]), let_in


def said_to(request: str, options: AdminOptions | None = None) -> tuple[bytes, list[str]]:
    """(the whole answer, who was let in)."""
    let_in: list[str] = []

    async def handle(asked: AdminRequest) -> bytes:
        let_in.append(asked.who)
        return answers.answer(200, b"{}")

    async def ask() -> bytes:
        server = AdminServer(handle, options or AdminOptions())
        (listener,) = listen("127.0.0.1", 0, 1)
        port = listener.getsockname()[1]
        await server.start(listener)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = request.replace("PORT", str(port)).replace("\n", "\r\n")
        writer.write(head.encode() + b"Connection: close\r\n\r\n")
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        server.close()
        return said

    return asyncio.run(ask()), let_in


@pytest.mark.parametrize(
    "request_line", ["HEAD /healthz HTTP/1.1\nHost: evil.test\n", "HEAD /a b HTTP/1.1\n"]
)
def test_an_error_has_no_body_where_none_was_asked_for(request_line: str) -> None:
    said, _ = said_to(request_line)
    assert said.split()[1] in (b"403", b"400")
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("host", ["127.0.0.1:PORT", "localhost:PORT", "127.0.0.1", "[::1]:PORT", "LOCALHOST"])
def test_its_own_names_are_answered(host: str) -> None:
    assert answered(f"GET /healthz HTTP/1.1\nHost: {host}\n") == (200, ["127.0.0.1"])


@pytest.mark.parametrize(
    "host",
    ["evil.test", "127.0.0.1.evil.test", "127.evil.test", "localhost.evil.test:PORT", "10.0.0.1"],
)
def test_a_name_that_leads_here_by_another_way_is_not(host: str) -> None:
    assert answered(f"POST /drain HTTP/1.1\nHost: {host}\n") == (403, [])


@pytest.mark.parametrize(
    "line",
    [
        "Origin: http://evil.test",
        "Origin: null",
        "Origin: http://localhost:1",
        "Origin: https://localhost:PORT",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ],
)
def test_a_page_of_another_origin_can_do_nothing(line: str) -> None:
    assert answered(f"POST /drain HTTP/1.1\nHost: localhost:PORT\n{line}\n") == (403, [])


def test_a_link_from_elsewhere_leads_to_a_page_and_to_nothing_else() -> None:
    visit = "Host: localhost\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: %s\n"
    assert answered(f"GET /console/jobs HTTP/1.1\n{visit % 'document'}")[0] == 200
    assert answered(f"GET /console/jobs HTTP/1.1\n{visit % 'iframe'}")[0] == 403
    assert answered(f"GET /console/api/overview HTTP/1.1\n{visit % 'document'}")[0] == 403
    assert answered(f"GET /status HTTP/1.1\n{visit % 'document'}")[0] == 403
    assert answered(f"POST /console/act/x HTTP/1.1\n{visit % 'document'}")[0] == 403


def test_its_own_page_can() -> None:
    lines = "Origin: http://localhost:PORT\nSec-Fetch-Site: same-origin\n"
    assert answered(f"POST /drain HTTP/1.1\nHost: localhost:PORT\n{lines}")[0] == 200


def test_with_a_key_every_request_must_show_it(tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    path.write_text("secret\n")
    path.chmod(0o600)
    options = AdminOptions(key_file=str(path))
    begin = "GET /metrics HTTP/1.1\nHost: localhost\n"
    assert answered(begin, options) == (401, [])
    assert answered(begin + "Authorization: Bearer wrong\n", options) == (401, [])
    assert answered(begin + "Authorization: Basic secret\n", options) == (401, [])
    assert answered(begin + "Authorization: bearer secret\n", options)[0] == 200
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        AdminServer(lambda _: asyncio.sleep(0, b""), options)


def test_a_name_that_was_configured_is_answered() -> None:
    assert answered("GET / HTTP/1.1\nHost: Gateway.Test\n", AdminOptions(names=("gateway.test",)))[0] == 200


def streamed(
    client: Callable[[asyncio.StreamReader, asyncio.StreamWriter, AdminServer], Awaitable[None]],
) -> bool:
    """Whether the port let go of a stream without an end, after what a client did."""
    ended: list[bool] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x" * 65_536
                await asyncio.sleep(0)
        finally:
            ended.append(True)

    async def handle(_: AdminRequest) -> EventStream:
        return EventStream(b"HTTP/1.1 200 OK\r\n\r\n", pieces())

    async def run() -> None:
        server = AdminServer(handle, AdminOptions())
        (listener,) = listen("127.0.0.1", 0, 1)
        await server.start(listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname(), limit=1024)
        writer.write(b"GET /console/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await client(reader, writer, server)
        async with asyncio.timeout(20):
            while not ended:
                await asyncio.sleep(0.02)
        writer.close()
        server.close()

    asyncio.run(run())
    return bool(ended)


def test_a_slow_reader_of_a_stream_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "SLOW_READER_S", 0.2)

    async def reads_nothing(*_: object) -> None:
        pass

    assert streamed(reads_nothing)


def test_a_stream_ends_when_its_reader_leaves() -> None:
    async def leaves(_: object, writer: asyncio.StreamWriter, server: object) -> None:
        writer.close()

    assert streamed(leaves)


def test_a_stream_ends_with_its_port() -> None:
    async def closes(_: object, writer: object, server: AdminServer) -> None:
        server.close()

    assert streamed(closes)


def test_large_bodies_are_refused() -> None:
    assert answered("POST /reload HTTP/1.1\nHost: localhost\nContent-Length: 70000\n") == (413, [])
    assert answered("POST /reload HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n") == (413, [])
