"""The TRACE argument of the verbs that take one: a file, or the word `generated`."""

import random
from pathlib import Path

from steelyard.traces.generator import generate_conversation
from steelyard.traces.readers import read_trace
from steelyard.traces.request import TraceRequest

GENERATED_REQUESTS = 500


def load_requests(trace: str, limit: int | None, seed: int) -> list[TraceRequest]:
    """A trace by its name. Raises TraceError or OSError."""
    if trace == "generated":
        return generate_conversation(limit or GENERATED_REQUESTS, random.Random(seed))
    return read_trace(Path(trace), limit)
