"""A fleet in virtual time: the gateway's router and policies over the emulator's engines, event by event.

What the gateway does for a request is done here in the same order with the same objects: route, charge,
send, release the prompt at the first token, tell the policy what came of it, release the rest. Only the
wire and the operating system are missing. Ties: events of one moment are taken by slot, arrivals after
them, so a run is repeated exactly from its seed. Cost: per request and per engine event, not per token,
and independent of the fleet's size but for a heap.
"""

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from steelyard.cluster.ledger import Ledger
from steelyard.cluster.membership import Membership, ReplicaState
from steelyard.engines.batching import BatchingEngine, Sequence
from steelyard.engines.profiles import EngineProfile
from steelyard.engines.skipping import Milestone, SkippingEngine
from steelyard.model.chance import Rng
from steelyard.model.fleet import Replica
from steelyard.model.request import Request
from steelyard.model.routing_policy import LearningPolicy, Pick, RoutingPolicy
from steelyard.policies.failure.outlier import OutlierDetector
from steelyard.routing.router import RoutedPool, Router
from steelyard.traces.request import TraceRequest

POOL = "default"
MODEL = "simulated"
_MIX, _ALL_BITS = 0x9E3779B97F4A7C15, (1 << 64) - 1  # names of blocks are small numbers, hashes are not


@dataclass(slots=True)
class Answer:
    """What became of one request. Times are since the beginning of the trace; NaN for what never came.

    refused: it could never run on the replica that was picked, as its tokens exceed the cache.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    slot: int = -1
    cached_tokens: int = 0
    first_s: float = math.nan
    end_s: float = math.nan
    refused: bool = False

    @property
    def ttft_s(self) -> float:
        """Seconds from arrival to the first token."""
        return self.first_s - self.arrival_s

    @property
    def tpot_s(self) -> float:
        """Seconds a token after the first; NaN for an answer of one token."""
        if self.output_tokens < 2:
            return math.nan
        return (self.end_s - self.first_s) / (self.output_tokens - 1)


@dataclass(slots=True)
class _Flight:
    answer: Answer
    request: Request
    pick: Pick
    charged_tokens: int


class SimulatedFleet:
    """Replicas with one policy before them.

    profiles: one a replica. block_tokens: of the replicas' caches, which is that of the trace.
    """

    def __init__(
        self, profiles: list[EngineProfile], policy: RoutingPolicy, rng: Rng, block_tokens: int
    ) -> None:
        self._membership = Membership()
        replicas = [
            Replica(
                replica_id=f"replica-{slot}", base_url="", kv_capacity_tokens=profile.kv_tokens, pool=POOL
            )
            for slot, profile in enumerate(profiles)
        ]
        self._membership.apply(replicas, [ReplicaState.HEALTHY] * len(replicas))
        self.fleet = self._membership.fleet
        self._ledger = Ledger(self.fleet)
        pool = RoutedPool(name=POOL, policy=policy, outliers=OutlierDetector())
        self._router = Router(self._membership, [pool], rng)
        self._learner = policy if isinstance(policy, LearningPolicy) else None
        self._block_tokens = block_tokens
        self.engines = [SkippingEngine(BatchingEngine(profile, block_tokens)) for profile in profiles]
        self._due: list[tuple[float, int]] = []  # may hold entries that are out of date: see _advance
        self._flights: dict[int, _Flight] = {}
        self._sent = 0

    def run(
        self,
        requests: Iterable[TraceRequest],
        *,
        sample_every_s: float = math.inf,
        on_sample: Callable[[float, list[int]], None] = lambda now_s, loads: None,
        on_arrival: Callable[[], None] = lambda: None,
    ) -> list[Answer]:
        """Serve requests, which come in order of time, to the last token.

        on_sample: gets (time, requests in flight a slot) every `sample_every_s` while requests arrive.
        """
        answers: list[Answer] = []
        next_sample_s = 0.0
        for request in requests:
            while next_sample_s <= request.arrival_s:
                self._advance(next_sample_s)
                on_sample(next_sample_s, list(self.fleet.requests))
                next_sample_s += sample_every_s
            self._advance(request.arrival_s)
            answers.append(self._arrive(request))
            on_arrival()
        self._advance(math.inf)
        return answers

    def _arrive(self, traced: TraceRequest) -> Answer:
        now_s = traced.arrival_s
        whole_blocks = traced.prompt_tokens // traced.block_tokens
        request = Request(
            model=MODEL,
            prompt_tokens=traced.prompt_tokens,
            # What a replay tells the gateway as `max_tokens`.
            output_tokens=traced.output_tokens,
            prefix_hashes=tuple([block * _MIX & _ALL_BITS for block in traced.prefix_blocks[:whole_blocks]]),
            prefix_block_tokens=self._block_tokens,
            streams=True,
        )
        answer = Answer(now_s, traced.prompt_tokens, traced.output_tokens)
        pick = self._router.route(POOL, request, frozenset(), now_s)
        slot = answer.slot = pick.slot
        engine = self.engines[slot]
        if not engine.batching.fits(traced.prompt_tokens, traced.output_tokens):
            answer.refused = True
            return answer
        # What the policy believes to be cached is not queued work.
        charged = max(1, request.prompt_tokens - pick.matched_tokens)
        self._ledger.charge(slot, charged, request.output_tokens)
        self._sent += 1
        self._flights[self._sent] = _Flight(answer, request, pick, charged)
        engine.submit(
            Sequence(
                sequence_id=self._sent,
                prompt_tokens=traced.prompt_tokens,
                output_tokens=traced.output_tokens,
                prefix_hashes=request.prefix_hashes,
            ),
            now_s,
        )
        heapq.heappush(self._due, (engine.next_event_s, slot))
        return answer

    def _advance(self, now_s: float) -> None:
        """Let everything happen that happens until now, in order of time over all replicas."""
        due = self._due
        while due and due[0][0] <= now_s:
            at_s, slot = heapq.heappop(due)
            engine = self.engines[slot]
            if engine.next_event_s != at_s:
                continue  # an arrival changed the plan and left a newer entry
            for milestone in engine.advance(at_s):
                self._note(milestone)
            if engine.next_event_s < math.inf:
                heapq.heappush(due, (engine.next_event_s, slot))

    def _note(self, milestone: Milestone) -> None:
        sequence = milestone.sequence
        flight = self._flights[sequence.sequence_id]
        answer, request, pick = flight.answer, flight.request, flight.pick
        now_s, learner = milestone.at_s, self._learner
        if milestone.first:
            answer.first_s = now_s
            answer.cached_tokens = sequence.cached_tokens
            self._ledger.first_token(pick.slot, flight.charged_tokens)
            if learner is not None:
                learner.observe_first_token(pick, request, answer.ttft_s, self.fleet, now_s)
        if milestone.finished:
            answer.end_s = now_s
            del self._flights[sequence.sequence_id]
            if learner is not None:
                learner.observe_finish(
                    pick,
                    request,
                    now_s - answer.arrival_s,
                    answer.output_tokens,
                    sequence.cached_tokens,
                    self.fleet,
                    now_s,
                )
            self._ledger.release(pick.slot, 0, request.output_tokens)
