"""What the gateway says by itself."""

from steelyard.config.schema import Configuration, PoolOptions, ReplicaOptions
from steelyard.gateway import answers
from steelyard.gateway.request_plan import plan_of
from steelyard.gateway.routes import Routes
from steelyard.wire.http1_head import parse_request_head


def test_an_answer_to_head_has_no_body_and_says_when_it_is_the_last() -> None:
    pool = PoolOptions(replicas=(ReplicaOptions(url="http://127.0.0.1:1"),))
    nowhere = Routes(Configuration(pools=(pool,)), {})
    head = parse_request_head(b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    lines, _, body = answers.no_route(plan_of(head, nowhere), b"").partition(b"\r\n\r\n")
    assert lines.startswith(b"HTTP/1.1 404 ")
    assert b"Connection: close" in lines
    assert body == b""
