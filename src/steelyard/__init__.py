"""steelyard: a load balancer for data centres that train and serve large AI models."""

from typing import TYPE_CHECKING

from steelyard.version import __version__

if TYPE_CHECKING:
    from steelyard.jobs.checkpoints import Checkpoints
    from steelyard.jobs.client import JobsClient
    from steelyard.jobs.submission import SubmittedJob, submit

__all__ = ["Checkpoints", "JobsClient", "SubmittedJob", "__version__", "submit"]

_PLACES = {
    "Checkpoints": "steelyard.jobs.checkpoints",
    "JobsClient": "steelyard.jobs.client",
    "SubmittedJob": "steelyard.jobs.submission",
    "submit": "steelyard.jobs.submission",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: a gateway worker needs none of them."""
    if name not in _PLACES:
        raise AttributeError(f"module 'steelyard' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)
