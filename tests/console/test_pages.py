"""What single pages show of given planes: figures that read right, and no choice that would do nothing."""

from typing import Any

from tests.console.test_site import MemoryJobs
from tests.harness.console_planes import MemoryGateway, Port, on_port, replica

from steelyard.config.load import from_engines


class TwoNodes(MemoryJobs):
    """The job's task is on the first of two nodes."""

    def ask(self, op: str, **values: object) -> dict[str, Any]:
        answer = super().ask(op, **values)
        if op in ("nodes", "top"):
            idle = {"node": "B", "tasks": [], "used": {"cpu_cores": 0.0, "memory_bytes": 1.0}, "hot": []}
            answer["nodes"].append(answer["nodes"][0] | idle)
        return answer


def test_a_task_is_not_offered_the_node_that_it_is_on() -> None:
    async def use(port: Port) -> None:
        assert "<option>B</option>" in (body := (await port.get("/console/job?id=1")).body)
        assert "<option>A</option>" not in body

    on_port(use, jobs=TwoNodes("A"))

    async def alone(port: Port) -> None:
        assert "Move to" not in (await port.get("/console/job?id=1")).body

    on_port(alone, jobs=MemoryJobs("A"))


def test_the_nodes_cpu_is_their_mean_load() -> None:
    async def use(port: Port) -> None:
        body = (await port.get("/console")).body
        # 2 of 8 cores on one node, none of 8 on the other.
        assert "<dd>12 %</dd>" in body

    on_port(use, jobs=TwoNodes("A"))


def test_a_page_that_does_not_move_does_not_say_so_as_if_it_should() -> None:
    async def use(port: Port) -> None:
        assert 'id="live"' in (await port.get("/console/replicas")).body
        assert 'id="live"' not in (await port.get("/console/configuration")).body

    on_port(use)


def test_one_replica_is_no_replicas() -> None:
    async def use(port: Port) -> None:
        assert "1 replica," in (await port.get("/console/policies")).body

    on_port(use, MemoryGateway([replica("one")], configuration=from_engines(["http://one"])))
