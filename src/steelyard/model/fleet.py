"""The fleet as policies see it: one slot a replica, one list a property.

Columns rather than objects: a policy that samples two of 1,000 replicas reads four list
entries and touches nothing else, and a sum over the fleet is one C loop. Policies read;
only `cluster` writes. A slot outlives its replica and may be given to another one:
`generations[slot]` grows when it is, so whatever a policy learned of a slot can be dated.
"""

from dataclasses import dataclass, field
from typing import Final

from steelyard.model.fleet_order import FleetOrder

UNKNOWN: Final = -1
LARGE: Final = 32  # replicas; a look at fewer costs less than keeping them in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One engine instance behind the gateway.

    replica_id: unique in the fleet, stable over restarts; by default its address.
    base_url: scheme, host and port, and a path prefix if the engine has one.
    weight: share relative to the others, above 0; 2.0 takes twice the load of 1.0.
    models: names it answers to; empty means any.
    kv_capacity_tokens: tokens its KV cache holds; 0 when unknown.
    pool: the group it serves in.
    """

    replica_id: str
    base_url: str
    weight: float = 1.0
    models: tuple[str, ...] = ()
    kv_capacity_tokens: int = 0
    pool: str = "default"


@dataclass(slots=True)
class Fleet:
    """Columns over slots. All lists have the same length, the number of slots.

    ids: the replica in each slot, "" for a free one.
    requests: requests in flight on it, charged before they are sent.
    queued_prompt_tokens: prompt tokens sent whose first output token has not come back.
    output_tokens: output tokens still expected of the requests in flight.
    reported_waiting, reported_running: requests that the engine itself says wait and run, whoever sent
        them; reported_kv_used: share of its KV cache in use, 0..1. Each is `UNKNOWN` when it does not say.
    order: the same as `requests`, sorted; None until a policy asks for it, or when counts came from
        elsewhere. Whoever changes `requests` keeps it up to date or takes it away.
    """

    version: int = 0
    ids: list[str] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    kv_capacity_tokens: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    queued_prompt_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    reported_waiting: list[int] = field(default_factory=list)
    reported_running: list[int] = field(default_factory=list)
    reported_kv_used: list[float] = field(default_factory=list)
    order: FleetOrder | None = None

    def __post_init__(self) -> None:
        for column in (self.reported_waiting, self.reported_running, self.reported_kv_used):
            column.extend([UNKNOWN] * (len(self.ids) - len(column)))

    def __len__(self) -> int:
        return len(self.ids)

    def order_of(self, eligible: "Eligible") -> FleetOrder | None:
        """The order of these slots, when they are all of a large fleet."""
        count = len(eligible.slots)
        if count <= LARGE or count != len(self.requests):
            return None
        if self.order is None:
            self.order = FleetOrder(self.requests)
        return self.order

    def in_flight(self, eligible: "Eligible") -> int:
        """Requests in flight on all of these slots."""
        order = self.order_of(eligible)
        return order.total if order is not None else sum(map(self.requests.__getitem__, eligible.slots))


class Eligible:
    """The slots that may take a request now: alive, not draining, serving its model, not yet tried.

    The same object is passed for as long as the set stays the same, so a policy may keep what
    it derives from the set (a ring, a cumulative weight) and compare by identity.

    slots: never empty, each once, in no order that a policy may lean on.
    members: the same slots, for a quick test of membership.
    """

    __slots__ = ("members", "slots")

    def __init__(self, slots: tuple[int, ...], members: frozenset[int]) -> None:
        self.slots: Final = slots
        self.members: Final = members

    @classmethod
    def of(cls, slots: "tuple[int, ...] | list[int] | range") -> "Eligible":
        """Make one from slot numbers."""
        return cls(tuple(slots), frozenset(slots))
