"""A policy under a load, once a seed: what a comparison of policies is made of."""

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from steelyard.config.job_plugins import make_placement
from steelyard.model.placement_policy import Claim, demand_of
from steelyard.policies.fragmentation import Fragmentation
from steelyard.policies.request_mix import RequestMix
from steelyard.policies.settings import PlacementSettings
from steelyard.simulation.cluster_load import CHURN, INFLATED, Event, churn, inflate, recorded
from steelyard.simulation.placement_report import PlacementReport, summarise_placement
from steelyard.simulation.placement_run import PlacementRun, place_all
from steelyard.traces.cluster import ClusterTrace

TYPICAL_FRACTION = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One way to try placement policies.

    load: see `simulation.cluster_load`. demand: of the inflated load; used, arrivals: of the churning one.
    random_ties: the policies' tie rule. known_mix: whether policies that think ahead are told the trace's
        mix,
        as in the published experiments; they learn it from what arrives otherwise.
    """

    trace: ClusterTrace
    load: str = INFLATED
    demand: float = 1.3
    used: float = 0.9
    arrivals: int = 20_000
    random_ties: bool = False
    known_mix: bool = True

    def claims(self) -> Iterable[Claim]:
        """What the trace asks for."""
        return (task.claim for task in self.trace.tasks)

    def events(self, seed: int) -> Iterable[Event]:
        """The load of one seed, the same for every policy."""
        rng = random.Random(seed)
        if self.load == INFLATED:
            return inflate(self.trace, self.demand, rng)
        if self.load == CHURN:
            return churn(self.trace, self.used, self.arrivals, rng)
        return recorded(self.trace.tasks)

    def run(self, policy: str, seed: int, on_event: Callable[[], None] | None = None) -> PlacementRun:
        """One run. Raises ConfigError for an unknown policy, TraceError for a load that cannot be made."""
        mix = RequestMix.of(self.claims()) if self.known_mix else RequestMix()
        settings = PlacementSettings(rng=random.Random(seed), random_ties=self.random_ties, mix=mix)
        typical = RequestMix.of(self.claims()).typical(TYPICAL_FRACTION)
        placement = make_placement(policy, settings)
        return place_all(self.trace.nodes, self.events(seed), placement, Fragmentation(typical), on_event)

    def compare(
        self, policy: str, seeds: Iterable[int], on_event: Callable[[], None] | None = None
    ) -> tuple[PlacementReport, list[PlacementRun]]:
        """All seeds of one policy."""
        began_s = time.process_time()
        runs = [self.run(policy, seed, on_event) for seed in seeds]
        return summarise_placement(policy, runs, time.process_time() - began_s), runs

    def capacity_text(self) -> str:
        """How large the cluster is, in words."""
        trace = self.trace
        return f"{len(trace.nodes):,} nodes with {trace.capacity:,.0f} {'GPUs' if trace.by_gpu else 'cores'}"

    def tasks_too_large(self) -> int:
        """Tasks that not even an empty node could hold."""
        shapes = {(demand_of(claim.demand), claim.gpu_models) for claim in self.claims()}
        from_nodes = [(node.gpu_model, demand_of(node.capacity)) for node in self.trace.nodes]
        hopeless = {
            (demand, models)
            for demand, models in shapes
            if not any(
                (not models or model in models or not demand.devices)
                and demand.devices <= has.devices
                and demand.cpu_milli <= has.cpu_milli
                and demand.memory_bytes <= has.memory_bytes
                for model, has in from_nodes
            )
        }
        return sum((demand_of(claim.demand), claim.gpu_models) in hopeless for claim in self.claims())
