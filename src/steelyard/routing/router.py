"""One request, one decision: eligible, not ejected, picked. In one call, without waiting.

A replica is eligible when it serves the model, is not draining, gone or unhealthy by its probes, is not
ejected by what traffic met, and has not been tried for this request. With fewer than `panic_fraction`
of a pool left, ejections are lifted (panic mode), and when nobody is left at all, those that fail their
probes are tried too: a doubtful replica is better than none. Eligible sets are kept until something
changes, so a pick costs what its policy costs.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from steelyard.cluster.membership import Membership, ReplicaState
from steelyard.model.chance import Rng
from steelyard.model.errors import NoEligibleReplica
from steelyard.model.fleet import Eligible
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.failure.outlier import OutlierDetector
from steelyard.policies.failure.slow_start import slow_start_share

_SERVING: Final = (ReplicaState.STARTING, ReplicaState.HEALTHY)
MAX_KEPT_SETS: Final = 1024  # a pool: model names come from clients: what is kept of them has a bound


@dataclass
class _Candidates:
    """Who could serve a model, kept until `expires_s` or a change."""

    eligible: Eligible | None
    excluded: dict[str, str]
    known_model: bool
    expires_s: float


@dataclass(kw_only=True)
class RoutedPool:
    """A pool as the router sees it."""

    name: str
    policy: RoutingPolicy
    outliers: OutlierDetector
    panic_fraction: float = 0.5
    slow_start_s: float = 0.0
    returned_s: dict[int, float] = field(default_factory=dict)
    candidates: dict[str, _Candidates] = field(default_factory=dict)  # by model


class Router:
    """Routes requests over a membership, for any number of pools.

    troubled: slots with a failure since their last success; while there is none, successes say nothing.
    """

    def __init__(self, membership: Membership, pools: list[RoutedPool], rng: Rng) -> None:
        self._membership = membership
        self._fleet = membership.fleet  # one object for ever; only its columns change
        self._pools = {pool.name: pool for pool in pools}
        self._rng = rng
        self._version = -1
        self.troubled: set[int] = set()
        self._states: list[ReplicaState] = []

    def route(self, pool_name: str, request: Request, tried: frozenset[int], now_s: float) -> Pick:
        """Pick a replica. Raises NoEligibleReplica (404 when no replica knows the model, else 503)."""
        pool = self._pools[pool_name]
        # Set by set, not by a call: this line is passed by every request.
        kept = pool.candidates.get(request.model)
        if kept is None or now_s >= kept.expires_s or self._version != self._fleet.version:
            kept = self._candidates(pool, request.model, now_s)
        eligible = kept.eligible
        if tried and eligible is not None:
            left = [slot for slot in eligible.slots if slot not in tried]
            eligible = Eligible.of(left) if left else None
        if eligible is None:
            error = NoEligibleReplica(request.model, kept.excluded)
            if not kept.known_model:
                error.http_status = 404
            raise error
        if pool.returned_s:
            eligible = self._slow_started(pool, eligible, now_s)
        return pool.policy.pick(request, eligible, self._fleet, now_s)

    def has_other(self, pool_name: str, request: Request, tried: frozenset[int], now_s: float) -> bool:
        """Whether a replica that was not tried could take the request."""
        eligible = self._candidates(self._pools[pool_name], request.model, now_s).eligible
        return eligible is not None and not eligible.members <= tried

    def policies(self) -> dict[str, RoutingPolicy]:
        """The policy of each pool."""
        return {name: pool.policy for name, pool in self._pools.items()}

    def slots(self, pool_name: str) -> list[int]:
        """The slots of a pool's replicas."""
        return [
            slot
            for slot, replica in enumerate(self._membership.replicas)
            if replica is not None and replica.pool == pool_name
        ]

    def models(self, pool_name: str) -> list[str]:
        """All models that the pool's replicas say they serve, each once."""
        known = (replica for replica in self._membership.replicas if replica and replica.pool == pool_name)
        return sorted({model for replica in known for model in replica.models})

    def report_success(self, slot: int, now_s: float) -> None:
        """A request went well on a replica."""
        if slot not in self.troubled:
            return
        self.troubled.discard(slot)
        pool = self._pool_of(slot)
        if pool is not None and pool.outliers.succeeded(slot):
            pool.candidates.clear()

    def report_failure(self, slot: int, now_s: float) -> None:
        """A request failed by a replica's fault."""
        self.troubled.add(slot)
        pool = self._pool_of(slot)
        if pool is None:
            return
        size = sum(replica is not None and replica.pool == pool.name for replica in self._membership.replicas)
        if pool.outliers.failed(slot, size, now_s):
            pool.returned_s[slot] = pool.outliers.ejected_until_s(slot)
            pool.candidates.clear()

    def _pool_of(self, slot: int) -> RoutedPool | None:
        replica = self._membership.replicas[slot]
        return self._pools.get(replica.pool) if replica is not None else None

    def _candidates(self, pool: RoutedPool, model: str, now_s: float) -> _Candidates:
        if self._version != self._fleet.version:
            self._take_in_changes(now_s)
        kept = pool.candidates.get(model)
        if kept is None or now_s >= kept.expires_s:
            if len(pool.candidates) >= MAX_KEPT_SETS:
                pool.candidates.clear()
            kept = pool.candidates[model] = self._find(pool, model, now_s)
        return kept

    def _take_in_changes(self, now_s: float) -> None:
        """The membership changed: forget sets, and note who came back from being unhealthy."""
        membership = self._membership
        for slot, state in enumerate(membership.states):
            before = self._states[slot] if slot < len(self._states) else None
            pool = self._pool_of(slot)
            returned = before in (ReplicaState.UNHEALTHY, ReplicaState.DRAINING) and state in _SERVING
            if pool is not None and returned:
                pool.outliers.forget(slot)
                pool.returned_s[slot] = now_s
        self._states = list(membership.states)
        self._version = membership.fleet.version
        for each in self._pools.values():
            each.candidates.clear()

    def _find(self, pool: RoutedPool, model: str, now_s: float) -> _Candidates:  # state machine
        usable: list[int] = []
        ejected: list[int] = []
        unhealthy: list[int] = []
        excluded: dict[str, str] = {}
        known_model, expires_s = False, math.inf
        for slot, replica in enumerate(self._membership.replicas):
            if replica is None or replica.pool != pool.name:
                continue
            if model and replica.models and model not in replica.models:
                excluded[replica.replica_id] = "serves other models"
                continue
            known_model = True
            state = self._membership.states[slot]
            ejected_until_s = pool.outliers.ejected_until_s(slot)
            if state is ReplicaState.DRAINING or state is ReplicaState.GONE:
                excluded[replica.replica_id] = state.value
            elif state is ReplicaState.UNHEALTHY:
                excluded[replica.replica_id] = "fails its health probes"
                unhealthy.append(slot)
            elif ejected_until_s > now_s:
                excluded[replica.replica_id] = "ejected after failures"
                expires_s = min(expires_s, ejected_until_s)
                ejected.append(slot)
            else:
                usable.append(slot)
        if len(usable) < pool.panic_fraction * (len(usable) + len(ejected) + len(unhealthy)):
            usable = sorted(usable + ejected) or unhealthy
        return _Candidates(Eligible.of(usable) if usable else None, excluded, known_model, expires_s)

    def _slow_started(self, pool: RoutedPool, eligible: Eligible, now_s: float) -> Eligible:
        """Leave a replica that came back out of some picks, while its share grows."""
        left_out = set()
        for slot, since_s in list(pool.returned_s.items()):
            share = slow_start_share(now_s - since_s, pool.slow_start_s)
            if share >= 1.0:
                del pool.returned_s[slot]
            elif slot in eligible.members and self._rng.random() >= share:
                left_out.add(slot)
        if not left_out or len(left_out) == len(eligible.slots):
            return eligible
        return Eligible.of([slot for slot in eligible.slots if slot not in left_out])
