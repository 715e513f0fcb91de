"""What the Ray executor and its bridge say to each other: lines of JSON over the bridge's two pipes."""

import msgspec

from steelyard.jobs.executors.local_node import Message, Order

BRIDGE_MODULE = "steelyard.jobs.executors.ray_bridge"
NODE_LABEL = "steelyard-node"  # of `ray start --labels`: the node's name; without it, Ray's own id is used
SPARE_LABEL = "steelyard-spare"  # "true": a hot spare


class RayNodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One raylet as Ray's head knows it.

    name: steelyard's; stays the same when the raylet is started anew.
    ray_id: Ray's; never used again.
    """

    name: str
    ray_id: str
    address: str
    port: int
    alive: bool
    cpus: float
    gpus: float
    memory_bytes: float
    labels: dict[str, str]


class ToBridge(msgspec.Struct, omit_defaults=True, kw_only=True):
    """order: for a node's agent. read_log: of an attempt, answered by `log`. fence: end it."""

    kind: str  # order, read_log, fence
    node: str
    order: Order | None = None
    path: str = ""
    attempt: str = ""
    offset_bytes: int = 0
    limit_bytes: int = 0
    request: int = 0


class FromBridge(msgspec.Struct, omit_defaults=True, kw_only=True):
    """ready: connected to Ray. nodes: all that the head knows. open: a node's agent answers (a new
    connection: it must be greeted). message: from an agent. silent: a call to it failed. gone: Ray vouches
    that it ended. head: it does not answer. log: a piece of a file. failed: the bridge cannot work.
    """

    kind: str
    node: str = ""
    ray_id: str = ""
    nodes: list[RayNodeInfo] = []
    message: Message | None = None
    reason: str = ""
    request: int = 0
    data: bytes = b""
