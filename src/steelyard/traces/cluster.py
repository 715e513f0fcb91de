"""A trace of a cluster: its nodes, and the tasks that ask for a place on them."""

from dataclasses import dataclass

from steelyard.model.node import Node
from steelyard.model.placement_policy import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceTask:
    """A recorded task. arrived_s: since the trace began; ended_s: when it left, None when not recorded."""

    claim: Claim
    arrived_s: float = 0.0
    ended_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTrace:
    """Nodes and tasks; name says where from."""

    name: str
    nodes: tuple[Node, ...]
    tasks: tuple[TraceTask, ...]

    @property
    def by_gpu(self) -> bool:
        """Whether use is counted in GPUs; in cores where there are none."""
        return any(node.capacity.gpus for node in self.nodes)

    @property
    def capacity(self) -> float:
        """GPUs, or cores, of all nodes."""
        return sum(node.capacity.gpus if self.by_gpu else node.capacity.cpu_cores for node in self.nodes)

    def asked(self, claim: Claim) -> float:
        """GPUs, or cores, that a task asks for."""
        return claim.demand.gpus if self.by_gpu else claim.demand.cpu_cores
