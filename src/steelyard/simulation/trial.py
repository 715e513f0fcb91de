"""One policy tried on one load: the answers, and what the fleet looked like over time."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from steelyard.engines.profiles import EngineProfile
from steelyard.model.chance import Rng
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.reports.objectives import Objective
from steelyard.simulation.answer import Answer
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.report import SimulationReport, summarise
from steelyard.simulation.scenario import Event
from steelyard.traces.request import TraceRequest

SAMPLES = 200
Sample = dict[str, float]


@dataclass(slots=True)
class Trial:
    """A finished run. loads, queues: samples a replica, of requests in flight and of prompt tokens queued."""

    report: SimulationReport
    answers: list[Answer]
    loads: list[Sample] = field(default_factory=list)
    queues: list[Sample] = field(default_factory=list)

    @property
    def served(self) -> list[Answer]:
        """Answers that came whole."""
        return [answer for answer in self.answers if not math.isnan(answer.end_s)]


def try_policy(
    name: str,
    make: Callable[[Rng], RoutingPolicy],
    profiles: list[EngineProfile],
    requests: Sequence[TraceRequest],
    *,
    seed: int,
    objective: Objective,
    events: Sequence[Event] = (),
    samples: int = SAMPLES,
    on_arrival: Callable[[], None] = lambda: None,
) -> Trial:
    """Run a load to its last token. samples: how many over the load's span; 0 for none."""
    rng = random.Random(seed)
    fleet = SimulatedFleet(profiles, make(rng), rng, requests[0].block_tokens)
    loads: list[Sample] = []
    queues: list[Sample] = []

    def look(now_s: float) -> None:
        columns = fleet.fleet
        loads.append(dict(zip(columns.ids, map(float, columns.requests), strict=True)))
        queues.append(dict(zip(columns.ids, map(float, columns.queued_prompt_tokens), strict=True)))

    answers = fleet.run(
        requests,
        events=events,
        sample_every_s=max(requests[-1].arrival_s / samples, 0.001) if samples else math.inf,
        on_sample=look if samples else lambda now_s: None,
        on_arrival=on_arrival,
    )
    return Trial(summarise(name, answers, len(fleet.engines), objective), answers, loads, queues)
