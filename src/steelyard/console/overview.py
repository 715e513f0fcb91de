"""Both planes at a glance, as plain values: what the overview shows, and GET /console/api/overview answers.

The answer is one JSON object:

- `at_s`: seconds since 1970; `up_s`, `pid`, `generation`, `retiring` (older generations that still finish),
  `ready`, `workers`, `worker_restarts`: of the gateway;
- `requests_per_s`, `goodput_per_s`, `errors_per_s` (5xx), `ttft_p50_s`, `ttft_p95_s` (null without a first
  token): over the last ten seconds; `ttft_objective_s`: what goodput is held to;
- `requests`: ended since the last reload, by class of status; `retries`, `cut_streams`, `continued_streams`;
- `in_flight`, `replica_balance`: requests in flight, and their balance degree over the usable replicas;
- `replicas`: one object each: `replica_id`, `url`, `pool`, `state`, `models`, `weight`, `in_flight`,
  `queued_prompt_tokens`, `expected_output_tokens`, `ok`, `client_errors`, `server_errors`, `engine`,
  `waiting`, `running`, `kv_used_fraction`, `kv_capacity_tokens`, `probe_failures`, `last_error`;
- `jobs`: null when no jobs service answers (`jobs_missing` says why), else `states` (tasks by state),
  `utilisation` and `balance_degree` of the nodes' CPU load (the seed's formulas), and `nodes`, as in
  `steelyard nodes --json`.

In the first moment of a gateway's life there are `ready` (false), `replicas`, `requests` and
`in_flight` alone.
"""

from dataclasses import asdict
from typing import Any

from steelyard.console.rates import in_flight_balance
from steelyard.console.watch import Watch
from steelyard.model.gateway_sample import GatewaySample, ReplicaSample


def snapshot(watch: Watch) -> dict[str, Any]:
    """See the module."""
    cluster = watch.cluster
    jobs = None
    if cluster is not None:
        jobs = {name: cluster[name] for name in ("states", "utilisation", "balance_degree", "nodes")}
    return {
        "at_s": watch.now_s(),
        **_gateway(watch),
        "ttft_objective_s": watch.objective_s,
        "jobs": jobs,
        "jobs_missing": watch.jobs_missing,
    }


def as_values(replica: ReplicaSample) -> dict[str, Any]:
    """By name. `asdict` copies what nobody changes, and takes 20 µs for it."""
    return {name: getattr(replica, name) for name in ReplicaSample.__slots__}


def _gateway(watch: Watch) -> dict[str, Any]:
    sample = watch.sample
    if sample is None:
        return {"ready": False, "replicas": [], "requests": {}, "in_flight": 0}
    left_out = ("monotonic_s", "ttft_counts", "ttft_bounds_s", "ttft_sum_s", "replicas")
    return (
        {name: getattr(sample, name) for name in GatewaySample.__slots__ if name not in left_out}
        | {"replicas": [as_values(each) for each in sample.replicas]}
        | asdict(watch.rates)
        | {
            "in_flight": sum(each.in_flight for each in sample.replicas),
            "replica_balance": in_flight_balance(sample),
        }
    )
