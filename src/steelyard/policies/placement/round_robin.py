"""Round robin: the nodes in turn by name, stepping over those that do not suffice.

Source: the seed (section 3.2). There are no ties: the turn decides. Cost: linear in nodes at worst, for it
looks at nodes until one fits.
"""

from bisect import bisect_right

from steelyard.model.placement_policy import Claim, NodeColumns, Placement, Refusal, demand_of
from steelyard.policies.feasibility import refusal as refusal_of
from steelyard.policies.feasibility import tightest_devices
from steelyard.policies.selection import scan
from steelyard.policies.settings import PlacementSettings


class RoundRobin:
    """Take turns."""

    __slots__ = ("_last",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._last = ""

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on the next fitting node after the last one by name."""
        demand = demand_of(claim.demand)
        fitting, counts = scan(claim, table, demand)
        if not fitting:
            return refusal_of(claim, demand, counts)
        preferred = next((each for each in claim.preferred_nodes if table.row_of.get(each) in fitting), None)
        if preferred is not None:
            devices = tightest_devices(demand, table, table.row_of[preferred])
            return Placement(preferred, devices, 0.0, "preferred")
        names = [table.node_ids[row] for row in fitting]
        row = fitting[bisect_right(names, self._last) % len(fitting)]
        self._last = table.node_ids[row]
        return Placement(self._last, tightest_devices(demand, table, row), 0.0, "round-robin")
