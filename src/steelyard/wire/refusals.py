"""What an engine's refusal means: a prompt that is too long, a time to come back, or neither.

Engines say "too long" in their own words. vLLM, SGLang, llama.cpp, and hosted services each have a phrase
or a code for it; anything else of a 4xx is the caller's to read. Cost: two searches in a short body.
"""

from email.utils import parsedate_to_datetime

_CODES = (b"context_length_exceeded", b"exceed_context_size_error", b"string_above_max_length")
_PHRASES = (
    b"maximum context length",
    b"context length",
    b"context window",
    b"context size",
    b"longer than the model",
    b"too many tokens",
    b"prompt is too long",
)
_READ_BYTES = 16_384


def is_too_long(status: int, body: bytes) -> bool:
    """Whether an answer refuses a prompt for its length."""
    if status not in (400, 413, 422):
        return False
    said = body[:_READ_BYTES].lower()
    return any(code in said for code in _CODES) or any(phrase in said for phrase in _PHRASES)


def retry_after_s(value: bytes, wall_s: float) -> float | None:
    """A Retry-After field as seconds from now; None when it has none that can be read.

    wall_s: the wall clock, for the form that names a date.
    """
    if value.isdigit() and len(value) < 10:
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value.decode("ascii")).timestamp() - wall_s)
    except (ValueError, UnicodeDecodeError, OverflowError):
        return None
