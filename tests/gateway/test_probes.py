"""What a probe reads of an engine's answer."""

import asyncio

import pytest

from steelyard.gateway.probes import fetch, read_models
from steelyard.model.errors import UpstreamError
from steelyard.wire.chunked import LAST_CHUNK, chunk

# More than a socket hands over in one read.
LARGE = b"x" * 500_000
OK = b"HTTP/1.1 200 OK\r\n"


def answered(answer: bytes) -> tuple[int, bytes]:
    """Fetch from a server that gives this answer and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def ask() -> tuple[int, bytes]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await fetch(f"http://127.0.0.1:{port}/v1/models", 10)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE,
        b"Transfer-Encoding: chunked\r\n\r\n" + chunk(LARGE) + LAST_CHUNK,
        b"\r\n" + LARGE,
    ],
    ids=["length", "chunked", "until closed"],
)
def test_a_large_answer_is_read_whole(framed: bytes) -> None:
    assert answered(OK + framed) == (200, LARGE)


@pytest.mark.parametrize(
    "framed", [b"Content-Length: 9\r\n\r\nshort", b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort", b"Cut"]
)
def test_a_cut_answer_is_the_engines_fault(framed: bytes) -> None:
    with pytest.raises(UpstreamError, match="closed inside the answer"):
        answered(OK + framed)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": 3}', b'{"data": [{}]}', b"\xff"])
def test_what_is_no_list_of_models_names_none(body: bytes) -> None:
    assert read_models(body) == ()
