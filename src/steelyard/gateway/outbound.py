"""A request as the policies see it, and as the engine gets it."""

from steelyard.gateway.routes import Pool
from steelyard.model.request import Request
from steelyard.wire.http1_head import RequestHead
from steelyard.wire.openai import BYTES_PER_TOKEN, read_inference


def understand(pool: Pool, head: RequestHead, body: bytes) -> Request:
    """What the policies may know of a request. Raises BadRequest for a body that is not JSON."""
    affinity = pool.affinity(head)
    if pool.reads_bodies and body and head.method == b"POST" and pool.is_json(head):
        said = read_inference(body)
        return Request(
            model=said.model,
            prompt_tokens=said.prompt_tokens,
            output_tokens=said.output_tokens,
            prefix_hashes=said.prefix_hashes,
            affinity_key=affinity or said.user,
            streams=said.streams,
        )
    return Request(prompt_tokens=len(body) // BYTES_PER_TOKEN, affinity_key=affinity)


def request_bytes(
    head: RequestHead, body: bytes, *, path_prefix: bytes, authority: bytes, request_id: bytes, peer: str
) -> bytes:
    """The request, its head written anew; a chunked body goes on with its length."""
    has_length = body or head.content_length == 0 or head.chunked
    return b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%bX-Request-Id: %b\r\nX-Forwarded-For: %b\r\n%b\r\n%b" % (
        head.method,
        path_prefix,
        head.target,
        authority,
        b"".join(head.lines),
        request_id,
        peer.encode(),
        b"Content-Length: %d\r\n" % len(body) if has_length else b"",
        body,
    )
