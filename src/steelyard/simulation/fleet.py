"""A fleet in virtual time: the gateway's router and policies over the emulator's engines, event by event.

What the gateway does for a request is done here in the same order with the same objects: route, charge,
send, release the prompt at the first token, tell the policy what came of it, release the rest. Only the
wire and the operating system are missing. Ties: events of one moment are taken by slot, arrivals after
them, so a run is repeated exactly from its seed. A replica that fails loses what it had begun to answer; the
gateway would send the rest elsewhere, and so does this. Cost: per request and per engine event, not per
token, and independent of the fleet's size but for a heap.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace

from steelyard.cluster.ledger import Ledger
from steelyard.cluster.membership import Membership, ReplicaState
from steelyard.engines.batching import BatchingEngine, Sequence
from steelyard.engines.profiles import PROFILES, EngineProfile
from steelyard.engines.skipping import Milestone, SkippingEngine
from steelyard.model.chance import Rng
from steelyard.model.errors import NoEligibleReplica
from steelyard.model.fleet import Replica
from steelyard.model.pick import Pick
from steelyard.model.request import PREFIX_HASH_BITS, Request
from steelyard.model.routing_policy import LearningPolicy, RoutingPolicy
from steelyard.policies.failure.outlier import OutlierDetector
from steelyard.routing.router import RoutedPool, Router
from steelyard.simulation.answer import Answer
from steelyard.simulation.oracle import SeesEngines
from steelyard.simulation.scenario import Event
from steelyard.traces.request import TraceRequest

POOL = "default"
MODEL = "simulated"
_MIX, _ALL_BITS = (
    0x9E3779B97F4A7C15,
    (1 << PREFIX_HASH_BITS) - 1,
)  # names of blocks are small numbers, hashes are not


@dataclass(slots=True)
class _Flight:
    answer: Answer
    request: Request
    pick: Pick
    charged_tokens: int
    sequence: Sequence
    traced: TraceRequest


class SimulatedFleet:
    """Replicas with one policy before them.

    profiles: one a replica. block_tokens: of the replicas' caches, which is that of the trace.
    """

    def __init__(
        self, profiles: list[EngineProfile], policy: RoutingPolicy, rng: Rng, block_tokens: int
    ) -> None:
        self._membership = Membership()
        self._profiles = list(profiles)
        self._states = [ReplicaState.HEALTHY] * len(profiles)
        self._block_tokens = block_tokens
        self.engines = [SkippingEngine(BatchingEngine(profile, block_tokens)) for profile in profiles]
        self._apply()
        self.fleet = self._membership.fleet
        self._ledger = Ledger(self.fleet)
        pool = RoutedPool(name=POOL, policy=policy, outliers=OutlierDetector())
        self._router = Router(self._membership, [pool], rng)
        self._learner = policy if isinstance(policy, LearningPolicy) else None
        if isinstance(policy, SeesEngines):
            policy.engines = self.engines
        self._due: list[tuple[float, int]] = []  # may hold entries that are out of date: see _advance
        self._flights: dict[int, _Flight] = {}
        self._sent = 0
        # Sessions: turns that wait for the answer under way, when the last answer ended where none is, and
        # turns whose time is known.
        self._turns: dict[int, deque[TraceRequest]] = {}
        self._ended_s: dict[int, float] = {}
        self._deferred: list[tuple[float, int, TraceRequest]] = []
        self._deferrals = 0

    def run(
        self,
        requests: Iterable[TraceRequest],
        *,
        events: Many[Event] = (),
        sample_every_s: float = math.inf,
        on_sample: Callable[[float], None] = lambda now_s: None,
        on_arrival: Callable[[], None] = lambda: None,
    ) -> list[Answer]:
        """Serve requests, which come in order of time, to the last token.

        on_sample: called every `sample_every_s` of virtual time while requests arrive.
        """
        answers: list[Answer] = []
        happenings = deque(events)
        coming = iter(requests)
        upcoming = next(coming, None)
        next_sample_s = 0.0
        while True:
            arrival_s = upcoming.arrival_s if upcoming is not None else math.inf
            at_s = min(arrival_s, self._deferred[0][0]) if self._deferred else arrival_s
            if at_s == math.inf and not happenings and not self._due:
                return answers
            if happenings and (at_s == math.inf or happenings[0].at_s <= min(at_s, next_sample_s)):
                if self._advance(happenings[0].at_s):
                    self._happen(happenings.popleft())
            elif next_sample_s <= at_s < math.inf:
                if self._advance(next_sample_s):
                    on_sample(next_sample_s)
                    next_sample_s += sample_every_s
            elif self._advance(at_s) and at_s < math.inf:
                if at_s == arrival_s and upcoming is not None:
                    request, upcoming = upcoming, next(coming, None)
                    if request.session and self._waits(request):
                        continue
                else:
                    request = heapq.heappop(self._deferred)[2]
                answers.append(self._arrive(request, at_s))
                on_arrival()

    def _waits(self, request: TraceRequest) -> bool:
        """Whether a turn has to wait: for the answer before it, or for its user to think about that."""
        session = request.session
        ended_s = self._ended_s.pop(session, None)
        if ended_s is not None:
            self._turns[session] = deque()
            if ended_s + request.think_s <= request.arrival_s:
                return False
            self._defer(request, ended_s)
        elif session in self._turns:
            self._turns[session].append(request)
        else:
            self._turns[session] = deque()
            return False
        return True

    def _turn_ended(self, session: int, now_s: float) -> None:
        """An answer ended: the next turn of its session comes when it was to come, or after thinking."""
        turns = self._turns[session]
        if turns:
            self._defer(turns.popleft(), now_s)
        else:
            del self._turns[session]
            self._ended_s[session] = now_s

    def _defer(self, request: TraceRequest, ended_s: float) -> None:
        self._deferrals += 1
        at_s = max(request.arrival_s, ended_s + request.think_s)
        heapq.heappush(self._deferred, (at_s, self._deferrals, request))

    def _arrive(self, traced: TraceRequest, now_s: float) -> Answer:
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
        self._send(answer, request, traced, now_s)
        return answer

    def _send(self, answer: Answer, request: Request, traced: TraceRequest, now_s: float) -> None:
        try:
            pick = self._router.route(POOL, request, frozenset(), now_s)
        except NoEligibleReplica:
            self._refuse(answer, traced, now_s)
            return
        slot = answer.slot = pick.slot
        answer.attempts += 1
        engine = self.engines[slot]
        if not engine.batching.fits(traced.prompt_tokens, traced.output_tokens):
            self._refuse(answer, traced, now_s)
            return
        # What the policy believes to be cached is not queued work.
        charged = max(1, request.prompt_tokens - pick.matched_tokens)
        self._ledger.charge(slot, charged, request.output_tokens)
        self._sent += 1
        sequence = Sequence(
            sequence_id=self._sent,
            prompt_tokens=traced.prompt_tokens,
            output_tokens=traced.output_tokens,
            prefix_hashes=request.prefix_hashes,
        )
        self._flights[self._sent] = _Flight(answer, request, pick, charged, sequence, traced)
        engine.submit(sequence, now_s)
        heapq.heappush(self._due, (engine.next_event_s, slot))

    def _refuse(self, answer: Answer, traced: TraceRequest, now_s: float) -> None:
        answer.refused = True
        if traced.session:
            self._turn_ended(traced.session, now_s)

    def _advance(self, now_s: float) -> bool:
        """Let everything happen that happens until now, in order of time over all replicas; False when it
        stopped before, since a turn of a session has to be sent first.
        """
        due, deferred = self._due, self._deferred
        while due and due[0][0] <= now_s:
            if deferred and deferred[0][0] < due[0][0] and deferred[0][0] < now_s:
                return False
            at_s, slot = heapq.heappop(due)
            engine = self.engines[slot]
            if engine.next_event_s != at_s:
                continue  # an arrival changed the plan and left a newer entry
            for milestone in engine.advance(at_s):
                self._note(milestone)
            if engine.next_event_s < math.inf:
                heapq.heappush(due, (engine.next_event_s, slot))
        return not deferred or deferred[0][0] >= now_s

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
            if flight.traced.session:
                self._turn_ended(flight.traced.session, now_s)

    def _happen(self, event: Event) -> None:
        slot, states = event.replica, self._states
        if event.what == "join":
            profile = PROFILES[event.profile] if event.profile else self._profiles[0]
            self._profiles.append(profile)
            self.engines.append(SkippingEngine(BatchingEngine(profile, self._block_tokens)))
            states.append(ReplicaState.HEALTHY)
        elif event.what == "drain":
            states[slot] = ReplicaState.DRAINING
        elif event.what == "fail":
            states[slot] = ReplicaState.UNHEALTHY
        elif event.what == "recover":
            states[slot] = ReplicaState.HEALTHY
            # A restarted engine is another one: its cache is empty, and it may run on another machine.
            self.fleet.generations[slot] += 1
        self._apply()
        if event.what == "fail":
            self._fail(slot, event.at_s)
        elif event.what == "slow":
            self._slow(slot, event.factor, event.at_s)

    def _apply(self) -> None:
        """Tell the router who is there, in which state."""
        replicas = [
            Replica(
                replica_id=f"replica-{slot}", base_url="", kv_capacity_tokens=profile.kv_tokens, pool=POOL
            )
            for slot, profile in enumerate(self._profiles)
        ]
        self._membership.apply(replicas, list(self._states))

    def _fail(self, slot: int, now_s: float) -> None:
        """What was being answered is lost; what waited for its first token is sent elsewhere."""
        self.engines[slot] = SkippingEngine(BatchingEngine(self._profiles[slot], self._block_tokens))
        gone = [number for number, flight in self._flights.items() if flight.pick.slot == slot]
        flights = [self._flights.pop(number) for number in gone]
        for flight in flights:
            waited = math.isnan(flight.answer.first_s)
            charged = flight.charged_tokens if waited else 0
            self._ledger.release(slot, charged, flight.request.output_tokens)
        for flight in flights:
            if math.isnan(flight.answer.first_s):
                self._send(flight.answer, flight.request, flight.traced, now_s)
            else:
                flight.answer.lost = True
                if flight.traced.session:
                    self._turn_ended(flight.traced.session, now_s)

    def _slow(self, slot: int, factor: float, now_s: float) -> None:
        """Everything takes so many times longer than the replica's profile says, from the next step on."""
        profile, engine = self._profiles[slot], self.engines[slot]
        # Nobody waits for this one: it ends the run of steps that was planned at the old speed.
        engine.cancel(Sequence(sequence_id=0, prompt_tokens=1, output_tokens=1), now_s)
        engine.batching.profile = replace(
            profile,
            step_s=profile.step_s * factor,
            sequence_s=profile.sequence_s * factor,
            prefill_token_s=profile.prefill_token_s * factor,
        )
        if engine.next_event_s < math.inf:
            heapq.heappush(self._due, (engine.next_event_s, slot))
