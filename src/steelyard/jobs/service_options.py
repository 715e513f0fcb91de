"""What a jobs service is started with. Its journal keeps it, so that a standby need not be told again."""

from dataclasses import dataclass
from random import Random

import msgspec

from steelyard.cluster.node_load import LoadRules
from steelyard.config.job_plugins import make_ordering, make_placement, make_rebalancing
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.model.errors import ConfigError
from steelyard.policies.ordering.registry import DEFAULT_ORDERING
from steelyard.policies.rebalancing.registry import DEFAULT_REBALANCING
from steelyard.policies.settings import PlacementSettings
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.quotas import Quota
from steelyard.scheduling.retention import RetentionRules

DEFAULT_PLACEMENT = "min-load"  # live load, as the seed has it; for GPU clusters see `--placement`
MAX_SMOOTHING_S = 3600.0
OF_AN_EXECUTOR = ("nodes", "address")


class ServiceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All that the command line and its files say. nodes: of the local executor; none for this machine."""

    executor: str = "local"
    address: str = ""
    nodes: list[LocalNode] = []
    placement: str = DEFAULT_PLACEMENT
    ordering: str = DEFAULT_ORDERING
    backfill: str = "easy"
    rebalancing: str = DEFAULT_REBALANCING
    smoothing_s: float = 5.0
    headroom: bool = False
    quotas: dict[str, Quota] = {}
    retention: RetentionRules = RetentionRules()

    def plan_options(self) -> PlanOptions:
        """The planner's part, with policies of their own.

        Raises ConfigError for a name that none has, and for options that do not go together.
        """
        if self.executor != "local" and self.nodes:
            raise ConfigError(
                "--nodes, --node and [[nodes]] are for the local executor: "
                f"{self.executor} knows its own nodes"
            )
        if not 0 <= self.smoothing_s <= MAX_SMOOTHING_S:
            raise ConfigError(
                f"--smoothing is {self.smoothing_s}: it must be in 0..{MAX_SMOOTHING_S:g} s (default 5)"
            )
        if self.executor == "ray" and not self.address:
            raise ConfigError("--executor ray needs --address HOST:PORT, of the head of the Ray cluster")
        return PlanOptions(
            ordering=make_ordering(self.ordering),
            placement=make_placement(self.placement, PlacementSettings(rng=Random(0))),
            backfill=self.backfill,
            rebalancing=make_rebalancing(self.rebalancing),
            quotas=self.quotas,
        )

    def load_rules(self) -> LoadRules:
        """How measured load is smoothed."""
        return LoadRules(time_constant_s=self.smoothing_s)

    @property
    def sentence(self) -> str:
        """What a standby says of itself."""
        names = ", ".join(node.name for node in self.nodes) or "this machine"
        where = f"nodes: {names}" if self.executor == "local" else self.address or "its own nodes"
        return (
            f"executor {self.executor} ({where}), placement {self.placement}, ordering {self.ordering}, "
            f"backfill {self.backfill}, rebalancing {self.rebalancing}"
        )

    def kept(self) -> bytes:
        """For the journal."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class Told:
    """The options of one command, and which of them somebody said: the others are defaults."""

    options: ServiceOptions
    said: frozenset[str] = frozenset()

    def as_standby(self, kept: bytes | None) -> ServiceOptions:
        """What is said here, and for the rest what the last service of this journal had.

        Raises ConfigError when that was written by another version in a way that this one does not read.
        """
        if kept is None:
            return self.options
        try:
            last = msgspec.json.decode(kept, type=ServiceOptions)
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"the options of the service that ran before cannot be read ({error}): it is of another "
                "version; name all options, and leave --standby out"
            ) from None
        said = set(self.said)
        if "executor" in said and self.options.executor != last.executor:
            said |= set(OF_AN_EXECUTOR)
        return msgspec.structs.replace(last, **{name: getattr(self.options, name) for name in said})


def executor_of(kept: bytes | None) -> str:
    """The executor that a kept text names, also one of another version; "" when it names none."""
    try:
        found = msgspec.json.decode(kept) if kept is not None else None
    except msgspec.DecodeError:
        return ""
    return str(found.get("executor", "")) if isinstance(found, dict) else ""
