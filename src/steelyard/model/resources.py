"""What a node has and what a task wants: the seed's resources, with units in their names."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """An amount of each resource: a capacity, a demand or a use. Nothing is below 0."""

    cpu_cores: float = 0.0
    memory_bytes: float = 0.0
    disk_read_bytes_per_s: float = 0.0
    disk_write_bytes_per_s: float = 0.0
    network_bytes_per_s: float = 0.0
    gpus: float = 0.0
    gpu_memory_bytes: float = 0.0

    def __post_init__(self) -> None:
        for name in RESOURCE_NAMES:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 0 or more")

    def plus(self, other: "Resources") -> "Resources":
        """Add, resource by resource."""
        return Resources(**{name: getattr(self, name) + getattr(other, name) for name in RESOURCE_NAMES})

    def minus(self, other: "Resources") -> "Resources":
        """Subtract, resource by resource, stopping at 0."""
        return Resources(
            **{name: max(0.0, getattr(self, name) - getattr(other, name)) for name in RESOURCE_NAMES}
        )

    def covers(self, demand: "Resources") -> bool:
        """Whether every resource suffices for `demand`."""
        return all(getattr(self, name) >= getattr(demand, name) for name in RESOURCE_NAMES)


RESOURCE_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Resources))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One machine, as last seen.

    used: what runs on it takes, as measured.
    sampled_at_s: monotonic time of the measurement.
    """

    node_id: str
    capacity: Resources
    used: Resources
    sampled_at_s: float = 0.0

    @property
    def free(self) -> Resources:
        """What is left of each resource, never below 0."""
        return self.capacity.minus(self.used)

    def used_fraction(self, resource: str) -> float:
        """Share of one resource in use, 0..1 and above when overcommitted; 0 where the node has none."""
        capacity = float(getattr(self.capacity, resource))
        return float(getattr(self.used, resource)) / capacity if capacity > 0 else 0.0
