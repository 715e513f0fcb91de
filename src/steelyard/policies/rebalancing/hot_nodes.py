"""Move tasks off nodes that run hot, when the time they save pays for the stop and the new start.

A node is hot when a measured use reaches its threshold and stays there for a while; it is cool again only
`cool_by` below. Tasks on a node are taken to slow down, linearly, from `comfortable` use (speed 1) to full
use (speed 1 − `slowdown_at_full`). A move is worth what the job saves over the time that it still has to
run: remaining × (1 − speed here ÷ speed there), which must exceed checkpoint and restart by `margin`. The
target must stay below its thresholds by `cool_by` with the task on it, so a move never makes a node hot.
Together with the rest after a move, nothing goes back and forth. Source: section 3 of the seed (its example,
a node at 50 % CPU whose task is paused and goes elsewhere, is `SEED_EXAMPLE`); Pollux (OSDI 2021) charges
restarts with 10 % too. Hottest node first, then the task of least priority, of greatest gain less cost, of
least name. Cost: one pass over nodes, one placement a candidate on hot nodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from steelyard.model.errors import ConfigError
from steelyard.model.job import RunningJob
from steelyard.model.placement_policy import Claim, Placement, PlacementPolicy, Refusal
from steelyard.model.rebalancing_policy import Proposal, Trial
from steelyard.model.resources import RESOURCE_NAMES
from steelyard.policies.rebalancing.budget import MoveBudget, cost_s

TARGETS_TRIED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HotNodeOptions:
    """Thresholds and what a move must bring.

    hot: used fraction of a resource at which a node is hot; resources that are missing are not watched.
    comfortable: used fraction up to which nothing slows down, as a share of the threshold.
    unknown_s: time left of a job of which nobody knows.
    undeclared_cost_s: checkpoint and restart of a job that does not say what they take.
    """

    hot: Mapping[str, float] = field(
        default_factory=lambda: {
            "cpu_cores": 0.90,  # above, run queues grow
            "memory_bytes": 0.90,  # above, the kernel reclaims
            "disk_read_bytes_per_s": 0.85,
            "disk_write_bytes_per_s": 0.85,
            "network_bytes_per_s": 0.85,
        }
    )
    cool_by: float = 0.10
    hot_for_s: float = 30.0
    comfortable: float = 0.6
    slowdown_at_full: float = 0.5
    margin: float = 0.10
    unknown_s: float = 3600.0
    undeclared_cost_s: float = 30.0

    def __post_init__(self) -> None:
        for name, fraction in self.hot.items():
            if name not in RESOURCE_NAMES:
                raise ConfigError(f"hot names {name!r}: use one of {', '.join(RESOURCE_NAMES)}")
            if not 0 < fraction <= 1:
                raise ConfigError(
                    f"hot {name} is {fraction}: it must be above 0 and at most 1 (0.9 is usual)"
                )
        if not 0 <= self.slowdown_at_full < 1 or not 0 <= self.cool_by < 1:
            raise ConfigError("slowdown_at_full and cool_by must be in 0..1, 1 excluded")


SEED_EXAMPLE = HotNodeOptions(
    hot={"cpu_cores": 0.5}, cool_by=0.05, hot_for_s=0.0, comfortable=0.4, undeclared_cost_s=0.0
)
"""Section 3.3 of the seed: D rises to 50 % CPU, T1 is paused and goes to E."""


@dataclass(slots=True)
class HotNodes:
    """Remembers since when nodes are hot."""

    options: HotNodeOptions = field(default_factory=HotNodeOptions)
    budget: MoveBudget = field(default_factory=MoveBudget)
    hot_since_s: dict[str, float] = field(default_factory=dict)
    _arriving: dict[str, dict[str, float]] = field(default_factory=dict)

    def proposals(
        self, running: Sequence[RunningJob], table: Trial, placement: PlacementPolicy, now_s: float
    ) -> list[Proposal]:
        """Moves off hot nodes, within the budget."""
        self._watch(table, now_s)
        self._arriving = {}
        found: list[Proposal] = []
        for row in self._hot_rows(table, now_s):
            if len(found) >= self.budget.left(now_s):
                break
            tasks = [
                (each, claim)
                for each in running
                if self.budget.may_move(each, now_s)
                for claim in each.job.claims
                if claim.task_id in each.placements
                and each.placements[claim.task_id].node_id == table.node_ids[row]
            ]
            moving = {each.job_id for each in found}
            found += self._relieve(row, tasks, moving, table, placement, now_s)[
                : self.budget.left(now_s) - len(found)
            ]
        self.budget.spend(len(found), now_s)
        return found

    # --- who is hot ---------------------------------------------------------------------------------------

    def _watch(self, table: Trial, now_s: float) -> None:
        hot = self.options.hot
        known = {table.node_ids[row] for row in table.rows()}
        for node_id in [each for each in self.hot_since_s if each not in known]:
            del self.hot_since_s[node_id]
        for row in table.rows():
            measured, node_id = table.measured[row], table.node_ids[row]
            least = -self.options.cool_by if node_id in self.hot_since_s else 0.0
            if any(measured.get(name, 0.0) >= limit + least for name, limit in hot.items()):
                self.hot_since_s.setdefault(node_id, now_s)
            else:
                self.hot_since_s.pop(node_id, None)

    def _hot_rows(self, table: Trial, now_s: float) -> list[int]:
        """Rows hot for long enough and still over a threshold, hottest first."""
        rows = [
            row
            for row in table.rows()
            if now_s - self.hot_since_s.get(table.node_ids[row], now_s + 1) >= self.options.hot_for_s
            and self._excess(table, row) >= 0
        ]
        rows.sort(key=lambda row: -self._excess(table, row))  # stable: by name among equals
        return rows

    def _excess(self, table: Trial, row: int) -> float:
        measured = table.measured[row]
        return max(measured.get(name, 0.0) - limit for name, limit in self.options.hot.items())

    # --- who leaves ---------------------------------------------------------------------------------------

    def _relieve(
        self,
        row: int,
        tasks: list[tuple[RunningJob, Claim]],
        moving: set[str],
        table: Trial,
        placement: PlacementPolicy,
        now_s: float,
    ) -> list[Proposal]:
        """Moves off one node until it would be cool."""
        use = {name: table.measured[row].get(name, 0.0) for name in self.options.hot}
        proposals: list[Proposal] = []
        offers = [self._offer(row, each, claim, table, placement, now_s) for each, claim in tasks]
        ranked = sorted(
            (offer for offer in offers if offer is not None),
            key=lambda offer: (offer[0].job.priority, offer[2].cost_s - offer[2].gain_s, offer[2].task_id),
        )
        for each, claim, _ in ranked:
            if all(use[name] < limit for name, limit in self.options.hot.items()):
                break
            if each.job_id in moving:
                continue
            offer = self._offer(row, each, claim, table, placement, now_s)  # others may have taken its place
            if offer is None:
                continue
            self._take(claim, offer[2], row, use, table)
            moving.add(each.job_id)
            proposals.append(offer[2])
        return proposals

    def _take(self, claim: Claim, move: Proposal, row: int, use: dict[str, float], table: Trial) -> None:
        """Carry a move out on the trial table, and note how use will change."""
        share = self._shares(claim, row, table)
        table.release(claim.task_id)
        table.reserve(move.to, claim)
        target = table.row_of[move.to.node_id]
        arriving = self._arriving.setdefault(move.to.node_id, {})
        for name in use:
            use[name] -= share[name]
            arriving[name] = arriving.get(name, 0.0) + _rescaled(share[name], name, row, target, table)

    def _offer(
        self,
        row: int,
        each: RunningJob,
        claim: Claim,
        table: Trial,
        placement: PlacementPolicy,
        now_s: float,
    ) -> tuple[RunningJob, Claim, Proposal] | None:
        """Where a task would go, if going there pays."""
        forbidden = (table.node_ids[row], *sorted(self.hot_since_s))
        share = self._shares(claim, row, table)
        here = self._speed(table.measured[row])
        for _ in range(TARGETS_TRIED):
            place = placement.place(
                replace(claim, forbidden_nodes=claim.forbidden_nodes + forbidden), table, now_s
            )
            if isinstance(place, Refusal):
                return None
            target = table.row_of[place.node_id]
            use = self._use_with(share, row, target, table)
            if all(use[name] <= limit - self.options.cool_by for name, limit in self.options.hot.items()):
                left_s = each.remaining_s(now_s, self.options.unknown_s)
                gain_s = left_s * (1 - here / self._speed(use))
                move = self._proposal(each, claim, table.node_ids[row], place, gain_s)
                return (each, claim, move) if self._pays(move) else None
            forbidden += (place.node_id,)
        return None

    def _pays(self, move: Proposal) -> bool:
        return move.gain_s > move.cost_s * (1 + self.options.margin)

    def _proposal(
        self, each: RunningJob, claim: Claim, from_node_id: str, place: Placement, gain_s: float
    ) -> Proposal:
        return Proposal(
            job_id=each.job_id,
            task_id=claim.task_id,
            from_node_id=from_node_id,
            to=place,
            gain_s=gain_s,
            cost_s=cost_s(each, self.options.undeclared_cost_s),
            reason="hot-node",
        )

    # --- amounts ------------------------------------------------------------------------------------------

    def _shares(self, claim: Claim, row: int, table: Trial) -> dict[str, float]:
        """What the task uses of the node: what it asked for, or an equal part where it did not say."""
        shares: dict[str, float] = {}
        for name in self.options.hot:
            whole = _capacity(name, row, table)
            asked = float(getattr(claim.demand, name))
            used = table.measured[row].get(name, 0.0)
            equal = used / max(1, table.task_counts[row])
            shares[name] = min(used, asked / whole) if asked > 0 and whole > 0 else equal
        return shares

    def _use_with(self, share: Mapping[str, float], row: int, target: int, table: Trial) -> dict[str, float]:
        arriving = self._arriving.get(table.node_ids[target], {})
        return {
            name: table.measured[target].get(name, 0.0)
            + arriving.get(name, 0.0)
            + _rescaled(share[name], name, row, target, table)
            for name in self.options.hot
        }

    def _speed(self, use: Mapping[str, float]) -> float:
        """1 where nothing is in the way, less the more the scarcest resource is used."""
        slowest = 0.0
        for name, limit in self.options.hot.items():
            comfortable = self.options.comfortable * limit
            over = (min(1.0, use.get(name, 0.0)) - comfortable) / (1 - comfortable)
            slowest = max(slowest, over)
        return 1 - self.options.slowdown_at_full * slowest


def _capacity(name: str, row: int, table: Trial) -> float:
    """A node's whole of a resource, in the unit of `Resources`; 0 for those that a table does not total."""
    if name == "cpu_cores":
        return table.cpu_total[row] / 1000
    if name == "memory_bytes":
        return float(table.memory_total[row])
    if name == "gpus":
        return float(len(table.devices[row]))
    return 0.0


def _rescaled(share: float, name: str, row: int, target: int, table: Trial) -> float:
    """A share of one node as a share of another."""
    here, there = _capacity(name, row, table), _capacity(name, target, table)
    return share * here / there if here > 0 and there > 0 else share
