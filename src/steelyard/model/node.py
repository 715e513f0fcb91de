"""A machine as the scheduler knows it: what it has, and where and of which kind it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.model.resources import Resources

GPU_MODEL = "gpu_model"
RACK = "rack"
ZONE = "zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine.

    capacity: `gpus` is a whole number of devices; `gpu_memory_bytes` is the sum over them, shared out evenly.
    labels: free words, of which `gpu_model`, `rack` and `zone` have a meaning for policies.
    spare: a declared hot spare: it takes tasks only when they name it, or when nothing else is left.
    """

    node_id: str
    capacity: Resources
    labels: Mapping[str, str] = field(default_factory=dict)
    spare: bool = False

    def __post_init__(self) -> None:
        if not self.node_id:
            raise ValueError("a node has an empty name: give it one")
        if self.capacity.gpus != int(self.capacity.gpus):
            raise ValueError(
                f"node {self.node_id!r} has {self.capacity.gpus} GPUs: only tasks may ask for a share of one"
            )

    @property
    def gpu_model(self) -> str:
        """The model of its GPUs, "" when not said."""
        return self.labels.get(GPU_MODEL, "")

    @property
    def rack(self) -> str:
        """The rack that it stands in, "" when not said."""
        return self.labels.get(RACK, "")

    @property
    def zone(self) -> str:
        """The zone that it stands in, "" when not said."""
        return self.labels.get(ZONE, "")
