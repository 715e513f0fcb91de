"""What a gateway has counted and what its replicas carry, at one moment. Counts only grow."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSample:
    """One replica.

    in_flight: requests that this gateway has there now. waiting, running, kv_used_fraction (0..1) and
    kv_capacity_tokens: as the engine reports, None where it does not.
    ok, client_errors, server_errors: requests that ended, by outcome.
    """

    replica_id: str
    url: str
    pool: str
    state: str
    models: tuple[str, ...]
    weight: float
    in_flight: int
    queued_prompt_tokens: int
    expected_output_tokens: int
    ok: int
    client_errors: int
    server_errors: int
    engine: str = ""
    waiting: int | None = None
    running: int | None = None
    kv_used_fraction: float | None = None
    kv_capacity_tokens: int | None = None
    probe_failures: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySample:
    """The whole gateway.

    at_s: seconds since 1970, to be shown. monotonic_s: of a clock that nobody sets, for differences.
    requests: ended, by class of status ("2xx", ..., "left": the client went away).
    ttft_counts: answers in each bucket of time to first token; ttft_bounds_s: upper bounds of all but the
    last bucket. ttft_sum_s: their seconds in all.
    """

    at_s: float
    monotonic_s: float
    up_s: float
    pid: int
    generation: int
    retiring: int
    ready: bool
    workers: int
    worker_restarts: int
    requests: dict[str, int]
    retries: int
    cut_streams: int
    continued_streams: int
    ttft_counts: tuple[int, ...]
    ttft_bounds_s: tuple[float, ...]
    ttft_sum_s: float
    replicas: tuple[ReplicaSample, ...]
