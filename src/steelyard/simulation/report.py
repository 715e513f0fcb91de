"""What a simulation amounts to: latencies, goodput, cache hits, and how evenly the fleet was used."""

import math
from dataclasses import asdict, dataclass

from steelyard.model.metrics import balance_degree, goodput_per_s, throughput_per_s, utilisation
from steelyard.reports.objectives import Objective, Quantiles, without_nan
from steelyard.simulation.answer import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationReport:
    """The figures of one policy's run.

    span_s: from the first arrival to the last token.
    goodput_share: of all requests, refused and lost ones included.
    hit_share: of all prompt tokens, those that were in a cache.
    utilisation, balance_degree: the seed's, over output and new prompt tokens a replica, as shares of the
        most loaded one.
    """

    policy: str
    requests: int
    refused: int
    lost: int
    span_s: float
    ttft_s: Quantiles
    tpot_s: Quantiles
    output_tokens_per_s: float
    goodput_per_s: float
    goodput_share: float
    hit_share: float
    utilisation: float
    balance_degree: float

    def as_json(self) -> dict[str, object]:
        """Plain values; NaN becomes null."""
        return without_nan(asdict(self))


def summarise(policy: str, answers: list[Answer], replicas: int, objective: Objective) -> SimulationReport:
    """Sum up one run. Raises ValueError without answers."""
    if not answers:
        raise ValueError("there are no answers to sum up")
    served = [answer for answer in answers if not math.isnan(answer.end_s)]
    start_s = answers[0].arrival_s
    span_s = max((answer.end_s for answer in served), default=start_s) - start_s
    met = sum(objective.met(answer.ttft_s, answer.tpot_s) for answer in served)
    prompt_tokens = sum(answer.prompt_tokens for answer in served)
    work = [0.0] * replicas
    for answer in served:
        work[answer.slot] += answer.prompt_tokens - answer.cached_tokens + answer.output_tokens
    most = max(work) or 1.0
    return SimulationReport(
        policy=policy,
        requests=len(answers),
        refused=sum(answer.refused for answer in answers),
        lost=sum(answer.lost for answer in answers),
        span_s=span_s,
        ttft_s=Quantiles.of([answer.ttft_s for answer in served]),
        tpot_s=Quantiles.of([answer.tpot_s for answer in served]),
        output_tokens_per_s=throughput_per_s(sum(answer.output_tokens for answer in served), span_s),
        goodput_per_s=goodput_per_s(met, span_s),
        goodput_share=met / len(answers),
        hit_share=sum(answer.cached_tokens for answer in served) / prompt_tokens if prompt_tokens else 0.0,
        utilisation=utilisation(work),
        balance_degree=balance_degree([load / most for load in work]),
    )
