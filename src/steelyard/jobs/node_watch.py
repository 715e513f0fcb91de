"""What the service knows of its nodes: who they are, and their smoothed load."""

import time
from collections.abc import Callable, Iterable

from steelyard.cluster.node_load import LoadRules, NodeLoad, placeable
from steelyard.jobs.executor import NodeReport
from steelyard.model.node import Node
from steelyard.model.resources import RESOURCE_NAMES, Resources


class NodeWatch:
    """All nodes as last heard of."""

    def __init__(
        self,
        rules: LoadRules | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        headroom: bool = False,
    ) -> None:
        """headroom: whether the stated headroom of each resource is kept free when placing."""
        self._rules = rules or LoadRules()
        self._headroom = headroom
        self.clock = clock
        self.reports: dict[str, NodeReport] = {}
        self.loads: dict[str, NodeLoad] = {}

    def observe(self, reports: Iterable[NodeReport]) -> bool:
        """Take in reports; whether a node came, went or changed its capacity."""
        before = {node_id: (each.capacity, each.labels) for node_id, each in self.reports.items()}
        self.reports = {each.node_id: each for each in reports}
        self.loads = {node_id: load for node_id, load in self.loads.items() if node_id in self.reports}
        for node_id, report in self.reports.items():
            if report.telemetry is not None:
                load = self._rules.observe(self.loads.get(node_id), report.telemetry, report.capacity)
                self.loads[node_id] = load
        return before != {node_id: (each.capacity, each.labels) for node_id, each in self.reports.items()}

    def former(self) -> frozenset[str]:
        """Nodes that are none of this service any more: what runs there may end there, nothing may begin."""
        return frozenset(node_id for node_id, each in self.reports.items() if each.is_former)

    def nodes(self) -> list[Node]:
        """As placement wants them: with what may be given out."""
        return [
            Node(
                node_id=each.node_id,
                capacity=self._given_out(each),
                labels=dict(each.labels),
                spare=each.spare,
            )
            for each in self.reports.values()
        ]

    def _given_out(self, report: NodeReport) -> Resources:
        return placeable(report.capacity) if self._headroom else report.capacity

    def used_fractions(self) -> Iterable[tuple[str, dict[str, float]]]:
        """Measured and smoothed use of each node, by resource, as shares of its capacity."""
        for node_id, load in self.loads.items():
            if node_id in self.reports:
                used, capacity = load.telemetry.used, self.reports[node_id].capacity
                yield (
                    node_id,
                    {
                        name: float(getattr(used, name)) / float(getattr(capacity, name))
                        for name in RESOURCE_NAMES
                        if getattr(capacity, name) > 0
                    },
                )

    def addresses(self) -> dict[str, str]:
        """Nodes that are other machines, and where."""
        return {
            node_id: report.labels["address"]
            for node_id, report in self.reports.items()
            if "address" in report.labels
        }
