"""`steelyard status`: what it says, and its exit codes."""

import json
import socket
import subprocess
import sys
import urllib.request

from tests.harness.processes import engines, gateway

from steelyard.cli.status import reasons


def status(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from steelyard.cli.main import main; main()", "status", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_tells_a_healthy_gateway_from_a_draining_one() -> None:
    with engines(1) as fleet, gateway(fleet[0].addresses["engine"], options=("--workers", "1")) as child:
        admin = child.addresses["admin"]
        healthy = status("--admin", admin)
        assert healthy.returncode == 0, healthy.stderr
        assert healthy.stdout.startswith("healthy\n")
        assert "\x1b" not in healthy.stdout
        urllib.request.urlopen(urllib.request.Request(f"{admin}/drain", method="POST"), timeout=10).close()
        draining = status("--admin", admin, "--json")
    page = json.loads(draining.stdout)
    assert draining.returncode == 1
    assert page["degraded"] == ["the gateway is draining"]
    assert page["generation"] == 1
    assert [each["requests_in_flight"] for each in page["replicas"]] == [0]


def test_says_that_nobody_answers() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = status("--admin", f"127.0.0.1:{unused.getsockname()[1]}")
    assert result.returncode == 2
    assert "cannot ask the gateway" in result.stderr


def test_a_replica_drained_on_purpose_is_no_fault() -> None:
    replicas = [{"id": "a", "state": "healthy"}, {"id": "b", "state": "draining"}]
    assert reasons(True, replicas) == []
    assert reasons(True, [{"id": "c", "state": "unhealthy"}, *replicas]) == ["replica c is unhealthy"]
    assert reasons(True, replicas[1:]) == ["no replica may be given requests"]
