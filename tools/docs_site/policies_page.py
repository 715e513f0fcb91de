"""The reference of the policies, from their registries."""

from collections.abc import Mapping

from steelyard.config.plugins import summaries
from steelyard.policies.ordering.registry import DEFAULT_ORDERING, ORDERING_SUMMARIES
from steelyard.policies.placement.registry import DEFAULT_PLACEMENT, PLACEMENT_SUMMARIES
from steelyard.policies.routing.registry import DEFAULT_POLICY

INTRODUCTION = """# Policies

Generated from the registries when this site is built; `steelyard policies` says the same. They are
[compared](../comparison.md#policies), and each may be [tried on your own traffic](../concepts/loop.md).
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join(
        [
            INTRODUCTION,
            _table("Routing: which replica takes a request", summaries(), DEFAULT_POLICY),
            _table("Placement: which node takes a task", PLACEMENT_SUMMARIES, DEFAULT_PLACEMENT),
            _table("Ordering: whose turn it is", ORDERING_SUMMARIES, DEFAULT_ORDERING),
        ]
    )


def _table(title: str, listed: Mapping[str, str], default: str) -> str:
    rows = [
        f"| `{name}`{' (default)' if name == default else ''} | {text.replace('|', chr(92) + '|')} |"
        for name, text in listed.items()
    ]
    return "\n".join([f"## {title}\n", "| policy | picks |", "|---|---|", *rows, ""])
