"""What the Ray executor makes of its bridge's lines, with a bridge that only says them: no Ray is needed."""

import socket
import time
from pathlib import Path

import msgspec
from tests.harness.jobs import eventually

from steelyard.jobs.executors.local_node import Order
from steelyard.jobs.executors.ray import RayExecutor
from steelyard.jobs.executors.ray_lines import FromBridge, RayNodeInfo, ToBridge

NODE = RayNodeInfo(
    name="a",
    ray_id="1",
    address="10.0.0.1",
    port=1,
    alive=True,
    cpus=2.0,
    gpus=0.0,
    memory_bytes=1e9,
    labels={},
)
LINES = (
    FromBridge(kind="ready"),
    FromBridge(kind="nodes", nodes=[NODE]),
    FromBridge(kind="open", node="a", ray_id="1"),
)


def test_lines_that_come_in_one_piece_with_the_first_are_taken_in_too(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in LINES))
    bridge = tmp_path / "python"
    bridge.write_text(f"#!/bin/sh\ncat {tmp_path}/lines\nexec 3>&1; exec cat > {tmp_path}/orders\n")
    bridge.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        executor = RayExecutor(address, 7, python=str(bridge))
        began_s = time.monotonic()
        try:
            executor.reattach([])
            assert time.monotonic() - began_s < 10
            assert [node.node_id for node in executor.nodes()] == ["a"]
            eventually(lambda: (tmp_path / "orders").read_bytes().endswith(b"\n"))
            (greeting,) = (tmp_path / "orders").read_bytes().splitlines()
            told = msgspec.json.decode(greeting, type=ToBridge)
            assert (told.kind, told.node, told.order) == ("order", "a", Order(kind="hello", term=7, live=[]))
        finally:
            executor.close()
