"""The fleet table as it lies in the shared page: one row a slot, JSON, since it changes seldom and is read
once a change.
"""

import msgspec

from steelyard.cluster.membership import Membership, ReplicaState
from steelyard.config.schema import Configuration
from steelyard.engines.dialects import EngineLoad
from steelyard.model.fleet import UNKNOWN, Replica


class Row(msgspec.Struct):
    """One slot; `load` is what its engine reported last, None when nothing."""

    replica: Replica | None
    state: ReplicaState
    load: EngineLoad | None = None


_decoder = msgspec.json.Decoder(list[Row])


def rows_of(configuration: Configuration) -> list[Row]:
    """The configured replicas, not yet probed."""
    return [
        Row(
            Replica(
                replica_id=options.name,
                base_url=options.url.rstrip("/"),
                weight=options.weight,
                models=options.models,
                kv_capacity_tokens=options.kv_capacity_tokens,
                pool=pool.name,
            ),
            ReplicaState.STARTING,
        )
        for pool in configuration.pools
        for options in pool.replicas
    ]


def encode(rows: list[Row]) -> bytes:
    """Rows to bytes."""
    return msgspec.json.encode(rows)


def apply(table: bytes, membership: Membership) -> None:
    """Bytes to a membership."""
    rows = _decoder.decode(table)
    membership.apply([row.replica for row in rows], [row.state for row in rows])
    fleet = membership.fleet
    for slot, row in enumerate(rows):
        load = row.load
        waiting = load.waiting_requests if load is not None else None
        running = load.running_requests if load is not None else None
        used = load.kv_used_fraction if load is not None else None
        if row.replica is not None and not row.replica.kv_capacity_tokens and load is not None:
            fleet.kv_capacity_tokens[slot] = load.kv_capacity_tokens or 0
        fleet.reported_waiting[slot] = UNKNOWN if waiting is None else waiting
        fleet.reported_running[slot] = UNKNOWN if running is None else running
        fleet.reported_kv_used[slot] = float(UNKNOWN) if used is None else used
