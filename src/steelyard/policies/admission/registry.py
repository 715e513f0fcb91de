"""The orders of service by name."""

from collections.abc import Callable

from steelyard.policies.admission.dlpm import DeficitLongestPrefixMatch
from steelyard.policies.admission.first_come import FirstCome
from steelyard.policies.admission.vtc import VirtualTokenCounter
from steelyard.policies.admission.waiting import FairOrder

ORDERS: dict[str, Callable[[], FairOrder]] = {
    "vtc": VirtualTokenCounter,
    "dlpm": DeficitLongestPrefixMatch,
    "first-come": FirstCome,
}
