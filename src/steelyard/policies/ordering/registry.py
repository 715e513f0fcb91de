"""All ordering policies by name: a literal dict."""

import math
from collections.abc import Callable

from steelyard.model.ordering_policy import OrderingPolicy
from steelyard.policies.ordering.deadline import EarliestDeadline
from steelyard.policies.ordering.fair_share import FairShare
from steelyard.policies.ordering.fifo import Fifo
from steelyard.policies.ordering.learned_index import learned_index
from steelyard.policies.ordering.learned_remaining import learned_remaining
from steelyard.policies.ordering.least_attained import LeastAttained
from steelyard.policies.ordering.priority import Priority
from steelyard.policies.ordering.shortest_predicted import ShortestPredicted

DEFAULT_ORDERING = "priority"

ORDERINGS: dict[str, Callable[[], OrderingPolicy]] = {
    "fifo": Fifo,
    "priority": Priority,
    "strict-priority": lambda: Priority(ageing_s=math.inf),
    "shortest": ShortestPredicted,
    "shortest-service": lambda: ShortestPredicted(by_service=True),
    "shortest-remaining": lambda: ShortestPredicted(preemptive=True),
    "least-attained": LeastAttained,
    "learned-index": learned_index,
    "learned-remaining": learned_remaining,
    "learned-shortest": lambda: learned_remaining(8, preemptive=False),
    "fair-share": FairShare,
    "deadline": EarliestDeadline,
    "deadline-preemptive": lambda: EarliestDeadline(preemptive=True),
}

ORDERING_SUMMARIES: dict[str, str] = {
    "fifo": "first in, first out",
    "priority": "highest priority first, a level being worth an hour of waiting (the default)",
    "strict-priority": "highest priority first, however long others wait",
    "shortest": "shortest predicted time first",
    "shortest-service": "least predicted GPU-seconds first",
    "shortest-remaining": "least predicted time left first, running jobs are preempted",
    "least-attained": "fewest GPU-seconds attained first, running jobs are preempted (Tiresias)",
    "learned-index": "likeliest to end soon by what was learned of its kind, running jobs are preempted",
    "learned-remaining": "shortest expected time left by what was learned, running jobs are preempted",
    "learned-shortest": "shortest expected time by what was learned, nobody is preempted",
    "fair-share": "the tenant of least dominant share first, its past use counting too",
    "deadline": "earliest deadline first, lost jobs last",
    "deadline-preemptive": "the same, running jobs are preempted",
}
