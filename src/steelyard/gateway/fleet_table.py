"""The fleet table as it lies in the shared page: one row a slot, JSON, since it changes seldom and is read
once a change.
"""

import msgspec

from steelyard.cluster.membership import Membership, ReplicaState
from steelyard.config.schema import Configuration
from steelyard.model.fleet import Replica


class Row(msgspec.Struct):
    """One slot."""

    replica: Replica | None
    state: ReplicaState


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
