"""An access log as a trace."""

import json
from pathlib import Path

import pytest

from steelyard.model.errors import TraceError
from steelyard.traces.access_log import read_access_log


def line(**fields: object) -> str:
    row = {
        "at": 100.0, "status": 200, "pool": "llm", "replica": "a", "streams": True, "prompt_tokens": 600,
        "output_tokens": 5, "ttft_s": 0.25, "prefix_block_tokens": 256, "prefix_hashes": [7, 8],
    }  # fmt: skip
    return json.dumps(row | fields)


def test_what_was_answered_is_taken_in_order_of_arrival(tmp_path: Path) -> None:
    path = tmp_path / "log"
    rows = [
        line(at=103.5, replica="b", ttft_s=None),
        line(),
        line(status=503),
        line(output_tokens=0),
        line(pool="other"),
        '{"at": 1',
        "[1]",
        '{"at": "noon", "status": 200}',
    ]
    path.write_text("\n".join(rows) + "\n")
    traffic = read_access_log(path, pool="llm")
    assert [request.arrival_s for request in traffic.requests] == [0.0, 3.5]
    first = traffic.requests[0]
    assert (first.prompt_tokens, first.output_tokens) == (600, 5)
    assert (first.prefix_blocks, first.block_tokens) == ((7, 8), 256)
    assert (traffic.replicas, traffic.ttfts_s, traffic.left_out, traffic.hashed) == (
        {"a", "b"},
        [0.25],
        5,
        True,
    )
    assert len(read_access_log(path).requests) == 3
    assert [request.arrival_s for request in read_access_log(path, pool="llm", limit=1).requests] == [0.0]


def test_a_file_without_requests_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("hello\n")
    with pytest.raises(TraceError, match="has no answered requests: it must be an access log"):
        read_access_log(path)
    with pytest.raises(TraceError, match="of pool 'x'"):
        read_access_log(path, pool="x")
