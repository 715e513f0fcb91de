"""Every error of ours has one root, a type that says whose fault it is, and a status for the client.

A message says what is wrong, with which value, and what to do about it.
"""

import difflib
from collections.abc import Mapping, Sequence


def nearest_or_known(name: str, known: Sequence[str]) -> str:
    """What to say of a name that is none of those known: the nearest one, or all in their order."""
    begins = [each for each in known if name and each.startswith(name)]
    nearest = difflib.get_close_matches(name, known, n=1) or begins
    return f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"


class SteelyardError(Exception):
    """The root of all errors that steelyard raises on purpose."""

    http_status = 500


class ConfigError(SteelyardError):
    """The operator's fault: a configuration or a command line that cannot be used (exit code 2).

    place: the way to the key at fault in a configuration, such as ("routes", 0, "pool"); () when not known.
    """

    def __init__(self, message: str, place: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.place = place


class TraceError(SteelyardError):
    """The operator's fault: a trace that cannot be read (exit code 2)."""


class BadRequest(SteelyardError):
    """The caller's fault: a request that cannot be understood or is not allowed."""

    http_status = 400

    def __init__(
        self, message: str, *, http_status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.param = param
        self.code = code


class UpstreamError(SteelyardError):
    """The engine's fault: an answer that never came, was cut, or cannot be understood."""

    http_status = 502


class OutcomeUnknown(SteelyardError):
    """Something was told to do what it may have done, not done, or will do yet: no answer came in time."""

    http_status = 504


class NoEligibleReplica(SteelyardError):
    """No replica may take this request now. `http_status` is what the gateway answers."""

    http_status = 503

    def __init__(self, model: str, excluded: Mapping[str, str]) -> None:
        reasons = ", ".join(f"{replica}: {why}" for replica, why in sorted(excluded.items())[:8])
        if len(excluded) > 8:
            reasons += f" and {len(excluded) - 8} more"
        subject = f"model {model!r}" if model else "this request"
        super().__init__(f"no replica can serve {subject} ({reasons or 'none registered'})")


def reason_of(error: object) -> str:
    """What went wrong, for a sentence: without the number that stands before it in an OSError's text."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
