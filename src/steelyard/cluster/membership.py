"""Who is in the fleet: slots given to replicas, taken back, and given again with a new generation."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from steelyard.model.fleet import UNKNOWN, Fleet, Replica


class ReplicaState(enum.StrEnum):
    """What the operator and the probes say of a replica."""

    STARTING = "starting"  # not yet probed: used, since the first request is a probe too
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"  # by order: no new requests
    GONE = "gone"  # the slot is free


@dataclass(slots=True)
class Membership:
    """The fleet with who sits in each slot."""

    fleet: Fleet = field(default_factory=Fleet)
    replicas: list[Replica | None] = field(default_factory=list)
    states: list[ReplicaState] = field(default_factory=list)

    def apply(self, replicas: Sequence[Replica | None], states: Sequence[ReplicaState]) -> None:
        """Take over a table of slots; the fleet's version grows if anything changed."""
        fleet = self.fleet
        if list(replicas) == self.replicas and list(states) == self.states:
            return
        for slot, replica in enumerate(replicas):
            if slot == len(fleet):
                self._add_slot()
            before = self.replicas[slot]
            if (before.replica_id if before else "") != (replica.replica_id if replica else ""):
                fleet.generations[slot] += 1
            self.replicas[slot] = replica
            fleet.ids[slot] = replica.replica_id if replica else ""
            fleet.weights[slot] = replica.weight if replica else 1.0
            fleet.kv_capacity_tokens[slot] = replica.kv_capacity_tokens if replica else 0
            self.states[slot] = states[slot]
        fleet.version += 1
        fleet.order = None

    def _add_slot(self) -> None:
        fleet = self.fleet
        fleet.ids.append("")
        fleet.generations.append(0)
        fleet.weights.append(1.0)
        for column in (
            fleet.kv_capacity_tokens,
            fleet.requests,
            fleet.queued_prompt_tokens,
            fleet.output_tokens,
        ):
            column.append(0)
        fleet.reported_waiting.append(UNKNOWN)
        fleet.reported_running.append(UNKNOWN)
        fleet.reported_kv_used.append(UNKNOWN)
        self.replicas.append(None)
        self.states.append(ReplicaState.GONE)
