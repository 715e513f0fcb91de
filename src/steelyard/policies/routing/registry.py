"""All routing policies by name: a literal dict. Outsiders add theirs through an entry point
(`config.plugins`).
"""

from collections.abc import Callable, Iterable

from steelyard.model.chance import Rng
from steelyard.model.errors import ConfigError, nearest_or_known
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.routing.aibrix_prefix_cache import AibrixPrefixCache
from steelyard.policies.routing.dynamo_cost import DynamoCost, dynamo_cost_32
from steelyard.policies.routing.hash_ring import HashRing
from steelyard.policies.routing.inference_extension import InferenceExtension
from steelyard.policies.routing.least_requests import LeastRequests
from steelyard.policies.routing.least_tokens import LeastTokens
from steelyard.policies.routing.lmetric import LMetric
from steelyard.policies.routing.peak_ewma import PeakEwma
from steelyard.policies.routing.preble_e2 import PrebleE2
from steelyard.policies.routing.prefix_hash import PrefixHash
from steelyard.policies.routing.prefix_ttft import PrefixTtft
from steelyard.policies.routing.production_stack_load_aware import ProductionStackLoadAware
from steelyard.policies.routing.production_stack_prefix import ProductionStackPrefix
from steelyard.policies.routing.random_choice import RandomChoice
from steelyard.policies.routing.round_robin import RoundRobin
from steelyard.policies.routing.sglang_cache_aware import SglangCacheAware
from steelyard.policies.routing.smg_least_load import SmgLeastLoad
from steelyard.policies.routing.sticky_session import StickySession
from steelyard.policies.routing.two_choices import TwoChoices
from steelyard.policies.routing.vllm_smetric import VllmSmetric
from steelyard.policies.routing.weighted_least_requests import WeightedLeastRequests
from steelyard.policies.routing.weighted_round_robin import WeightedRoundRobin

Factory = Callable[[Rng], RoutingPolicy]

DEFAULT_POLICY = "prefix-ttft"

POLICIES: dict[str, Factory] = {
    "prefix-ttft": PrefixTtft,
    "random": RandomChoice,
    "round-robin": RoundRobin,
    "weighted-round-robin": WeightedRoundRobin,
    "least-requests": LeastRequests,
    "weighted-least-requests": WeightedLeastRequests,
    "two-choices": TwoChoices,
    "least-tokens": LeastTokens,
    "peak-ewma": PeakEwma,
    "hash-ring": HashRing,
    "sticky-session": StickySession,
    "lmetric": LMetric,
    "dynamo-cost": DynamoCost,
    "dynamo-cost-32": dynamo_cost_32,
    "sglang-cache-aware": SglangCacheAware,
    "smg-least-load": SmgLeastLoad,
    "aibrix-prefix-cache": AibrixPrefixCache,
    "inference-extension": InferenceExtension,
    "production-stack-prefix": ProductionStackPrefix,
    "production-stack-load-aware": ProductionStackLoadAware,
    "vllm-smetric": VllmSmetric,
    "prefix-hash": PrefixHash,
    "preble-e2": PrebleE2,
}

POLICY_SUMMARIES: dict[str, str] = {
    "prefix-ttft": "least estimated time to first token, prompt caches included (the default)",
    "random": "each replica equally likely",
    "round-robin": "each replica in turn",
    "weighted-round-robin": "in turn by weight, spread out smoothly",
    "least-requests": "fewest requests in flight",
    "weighted-least-requests": "fewest requests in flight for its weight",
    "two-choices": "the less busy of two random replicas",
    "least-tokens": "fewest tokens still to be processed, for its weight",
    "peak-ewma": "the lesser expected wait of two random replicas, quick to believe bad news",
    "hash-ring": "consistent hashing of a key (path, header, user) with bounded loads",
    "sticky-session": "a key stays with the replica it met first",
    "lmetric": "least product of new prompt tokens and batch (arXiv 2603.15202)",
    "dynamo-cost": "Dynamo's cost in blocks, prompts and blocks in use weighing the same",
    "dynamo-cost-32": "Dynamo's cost in blocks, prompts weighing 32 times as much",
    "sglang-cache-aware": "SGLang's: longest prefix if it is over half the prompt, fewest requests else",
    "smg-least-load": "SGLang model gateway's: least time to drain, and to spare of the KV cache",
    "aibrix-prefix-cache": "AIBrix's: longest prefix among those that are not busier than most",
    "inference-extension": "the Gateway API inference extension's scores: queue 2, KV cache 2, prefix 3",
    "production-stack-prefix": "vLLM production-stack's: longest prefix, whatever the load",
    "production-stack-load-aware": "vLLM production-stack's: share cached, less the load above the mean",
    "vllm-smetric": "vLLM router's: the holder while it meets its time, else least work times requests",
    "prefix-hash": "consistent hashing of the prompt's beginning with bounded loads",
    "preble-e2": "Preble's: a holder of most of the prompt, else least recent work and evictions",
}


def unknown_policy(name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that no policy has."""
    return ConfigError(f"unknown policy {name!r}: {nearest_or_known(name, sorted(known))}")
