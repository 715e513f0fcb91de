"""The types of the public names. Not behind TYPE_CHECKING, where each module would seem to import jobs."""

from steelyard.jobs.checkpoints import Checkpoints as Checkpoints
from steelyard.jobs.client import JobsClient as JobsClient
from steelyard.jobs.submission import SubmittedJob as SubmittedJob
from steelyard.jobs.submission import submit as submit

__version__: str
__all__: list[str]
