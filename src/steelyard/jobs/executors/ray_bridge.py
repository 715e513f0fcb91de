"""The process between the Ray executor and Ray: `python -m steelyard.jobs.executors.ray_bridge ADDRESS`.

A process of its own, since a driver that loses Ray's head is ended by Ray's library sooner or later, and
because Ray may be installed in another environment than the controller. It makes one `RayNode` actor on each
node and calls it in a loop, which carries orders there and messages back and is the sign of life.
It leaves when its input closes; the actors stay.
"""

import asyncio
import logging
import os
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import ActorDiedError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from steelyard.jobs.executors.local_node import LocalNode, Message
from steelyard.jobs.executors.ray_lines import NODE_LABEL, SPARE_LABEL, FromBridge, RayNodeInfo, ToBridge
from steelyard.jobs.executors.ray_node import RayNode, answers
from steelyard.model.resources import Resources

NAMESPACE = "steelyard"
REFRESH_S = 1.0
PATIENCE_S = 0.25
CALL_TIMEOUT_S = 3.0
NODES_TIMEOUT_S = 15.0
FIRST_CALL_TIMEOUT_S = 30.0  # a worker process has to start first

_LINE = msgspec.json.Encoder()
_ORDER = msgspec.json.Decoder(ToBridge)
_MESSAGE = msgspec.json.Decoder(Message)


class Bridge:
    """See the module."""

    def __init__(self, output: int, head: str) -> None:
        self._output = output
        self._head = head
        self._caller = uuid.uuid4().hex
        self._orders: dict[str, asyncio.Queue[bytes]] = {}
        self._actors: dict[str, Any] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}  # by Ray's id
        self._background: set[asyncio.Task[None]] = set()

    def tell(self, line: FromBridge) -> None:
        """One line to the executor."""
        os.write(self._output, _LINE.encode(line) + b"\n")

    async def run(self) -> None:
        """Until the input closes."""
        reader = asyncio.StreamReader(limit=1 << 24)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        refreshing = asyncio.create_task(self._refresh_for_ever())
        refreshing.add_done_callback(_leave_unless_cancelled)
        self.tell(FromBridge(kind="ready"))
        while line := await reader.readline():
            self._obey(_ORDER.decode(line))
        refreshing.cancel()

    def _obey(self, given: ToBridge) -> None:
        if given.kind == "order" and given.order is not None and given.node in self._orders:
            self._orders[given.node].put_nowait(_LINE.encode(given.order))
        elif given.kind == "read_log":
            self._in_background(self._read_log(given))
        elif given.kind == "fence" and given.node in self._actors:
            self._in_background(asyncio.to_thread(_kill, self._actors[given.node]))

    def _in_background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _read_log(self, given: ToBridge) -> None:
        data = b""
        with suppress(RayError, TimeoutError, KeyError):
            actor = self._actors[given.node]
            place = (given.path, given.attempt, given.offset_bytes, given.limit_bytes)
            call = actor.read_log.remote(*place)
            data = await asyncio.wait_for(call, CALL_TIMEOUT_S)
        self.tell(FromBridge(kind="log", node=given.node, request=given.request, data=data))

    # --- who is there -------------------------------------------------------------------------------------

    async def _refresh_for_ever(self) -> None:
        was_lost = False
        while True:
            # Ray's own calls block for a minute without a head: look first.
            if await asyncio.to_thread(answers, self._head, REFRESH_S):
                if was_lost:
                    os._exit(0)  # a head that came back may be a new cluster: to be met by a new bridge
                nodes = await asyncio.wait_for(asyncio.to_thread(_nodes), NODES_TIMEOUT_S)
                self.tell(FromBridge(kind="nodes", nodes=nodes))
                for node in nodes:
                    if node.alive and node.cpus > 0 and node.ray_id not in self._loops:
                        shared = sum(each.alive and each.address == node.address for each in nodes) > 1
                        self._loops[node.ray_id] = asyncio.create_task(self._serve(node, shared))
            else:
                was_lost = True
                self.tell(FromBridge(kind="head"))
            await asyncio.sleep(REFRESH_S)

    async def _serve(self, node: RayNodeInfo, is_shared: bool) -> None:
        """Call a node's actor for as long as there is one; then let the next refresh look again."""
        reason = "its actor ended"
        try:
            actor = await asyncio.to_thread(_actor, node, is_shared, self._head)
            self._actors[node.name] = actor
            orders = self._orders[node.name] = asyncio.Queue()
            await asyncio.wait_for(actor.exchange.remote(self._caller, [], 0.0), FIRST_CALL_TIMEOUT_S)
            self.tell(FromBridge(kind="open", node=node.name, ray_id=node.ray_id))
            await self._exchange_for_ever(node, actor, orders)
        except ActorDiedError as error:
            reason = str(error).strip().split("\n")[-1]
            self.tell(FromBridge(kind="gone", node=node.name, ray_id=node.ray_id, reason=reason))
        except (RayError, TimeoutError, OSError) as error:
            reason = f"{type(error).__name__}: {error}".split("\n")[0]
            self.tell(FromBridge(kind="silent", node=node.name, ray_id=node.ray_id, reason=reason))
        finally:
            await asyncio.sleep(REFRESH_S)
            self._loops.pop(node.ray_id, None)

    async def _exchange_for_ever(self, node: RayNodeInfo, actor: Any, orders: asyncio.Queue[bytes]) -> None:
        while True:
            given = []
            while not orders.empty():
                given.append(orders.get_nowait())
            # Orders that come meanwhile wait for the next call, a quarter of a second at most.
            call = actor.exchange.remote(self._caller, given, PATIENCE_S)
            for line in await asyncio.wait_for(call, CALL_TIMEOUT_S):
                self.tell(FromBridge(kind="message", node=node.name, message=_MESSAGE.decode(line)))


def _leave_unless_cancelled(refreshing: asyncio.Task[None]) -> None:
    """A bridge that knows no nodes any more is of no use: another one may have more luck with Ray."""
    if not refreshing.cancelled() and (error := refreshing.exception()) is not None:
        print(f"ray_bridge: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def _nodes() -> list[RayNodeInfo]:
    """All raylets; of several with one name the one that is alive, else the last."""
    found: dict[str, RayNodeInfo] = {}
    for each in ray.nodes():
        labels, offered = dict(each["Labels"]), each["Resources"]
        info = RayNodeInfo(
            name=labels.get(NODE_LABEL) or each["NodeID"][:12],
            ray_id=each["NodeID"],
            address=each["NodeManagerAddress"],
            port=int(each["NodeManagerPort"]),
            alive=bool(each["Alive"]),
            cpus=float(offered.get("CPU", 0.0)),
            gpus=float(offered.get("GPU", 0.0)),
            memory_bytes=float(offered.get("memory", 0.0)),
            labels=labels,
        )
        if info.name not in found or info.alive or not found[info.name].alive:
            found[info.name] = info
    return list(found.values())


def _actor(node: RayNodeInfo, is_shared: bool, head: str) -> Any:
    """The node's actor, made if there is none. Blocks."""
    capacity = Resources(
        cpu_cores=node.cpus, memory_bytes=node.memory_bytes,
        gpus=node.gpus, gpu_memory_bytes=node.gpus * 1e12,
        disk_read_bytes_per_s=1e12, disk_write_bytes_per_s=1e12, network_bytes_per_s=1e12,
    )  # fmt: skip
    declared = LocalNode(
        name=node.name,
        # A raylet that has its machine to itself is measured as the whole machine.
        capacity=capacity if is_shared else None,
        labels=node.labels,
        spare=node.labels.get(SPARE_LABEL) == "true",
    )
    folder = Path("/tmp") / f"steelyard-ray-{os.getuid()}" / node.ray_id  # noqa: S108 - by user and Ray's id
    options = {
        "name": f"agent-{node.ray_id}", "namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True,
        "num_cpus": 0, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 16,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node.ray_id, soft=False),
    }  # fmt: skip
    actor: Any = ray.remote(RayNode)
    return actor.options(**options).remote(str(folder), _LINE.encode(declared), head)


def _kill(actor: Any) -> None:
    with suppress(RayError):
        ray.kill(actor, no_restart=True)


def main() -> int:
    """Connect and serve."""
    # Ray's libraries print: the lines have the real output to themselves.
    output = os.dup(1)
    os.dup2(2, 1)
    address = sys.argv[1]
    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        reason = f"Ray at {address}: {error}".replace("\n", " ")
        os.write(output, _LINE.encode(FromBridge(kind="failed", reason=reason)) + b"\n")
        return 1
    head = ray.get_runtime_context().gcs_address
    with suppress(BrokenPipeError):
        asyncio.run(Bridge(output, head).run())
    return 0


if __name__ == "__main__":
    status = main()
    # Not a tidy farewell: that would wait for a head that may be gone.
    os._exit(status)
