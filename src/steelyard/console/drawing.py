"""How numbers are written on pages: short, with a unit, and the same width from one second to the next."""

import time
from urllib.parse import quote

_SPANS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))
_SIZES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
UNKNOWN = "–"


def seconds(value: float | None) -> str:
    """A time: 12 ms, 1.25 s, 3.2 min."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.0005:
        return "< 1 ms"
    if abs(value) < 1.0:
        return f"{value * 1000:.0f} ms"
    for unit, size in _SPANS:
        if abs(value) >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.2f} s" if abs(value) < 10 else f"{value:.1f} s"


def span(value: float, step_s: float = 0.0) -> str:
    """A round time: 5 min, 90 s. step_s: of the scale that it stands on, whose marks all have one unit."""
    for unit, whole in _SPANS:
        if value >= whole and value % whole == 0 and step_s % whole == 0:
            return f"{value / whole:.0f} {unit}"
    return f"{value:.0f} s"


def size(value: float | None) -> str:
    """Bytes."""
    if value is None:
        return UNKNOWN
    for unit, whole in _SIZES:
        if value >= whole:
            return f"{value / whole:.1f} {unit}"
    return f"{value:.0f} B"


def number(value: float | None) -> str:
    """A count or a rate: thousands apart, decimals only where they matter."""
    if value is None:
        return UNKNOWN
    if float(value).is_integer() or abs(value) >= 100 or abs(value) < 0.005:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percent(value: float | None) -> str:
    """A share, 0..1."""
    return UNKNOWN if value is None else f"{100 * value:.0f} %"


def tiny(value: float | None) -> str:
    """A number of any size in few places, as balance degrees are."""
    if value is None or abs(value) >= 100:
        return number(value)
    return "< 0.0001" if 0 < abs(value) < 1e-4 else f"{value:.3g}"


def score(value: float | None) -> str:
    """A policy's score, in as many places as tell near-ties apart, and always in as many."""
    return number(value) if not value or abs(value) >= 1000 else f"{value:#.4g}"


def measure(value: float | None, kind: str) -> str:
    """An amount of a resource. kind: cores, bytes, rate or count."""
    if value is None:
        return UNKNOWN
    if kind == "bytes":
        return size(value)
    return f"{size(value)}/s" if kind == "rate" else number(value)


def clock(at_s: float | None) -> str:
    """The time of day, of the machine that serves the page."""
    return time.strftime("%H:%M:%S", time.localtime(at_s)) if at_s else UNKNOWN


def ago(at_s: float, now_s: float) -> str:
    """How long before now, in whole units: what changes each second draws the eye for nothing."""
    passed_s = max(0.0, now_s - at_s)
    unit, whole = next(((unit, whole) for unit, whole in _SPANS if passed_s >= 2 * whole), ("s", 1.0))
    return f"{passed_s // whole:.0f} {unit}"


def share(value: float | None, whole: float, length: float = 100.0) -> str:
    """The length of a bar: a part of `length`, within it."""
    if not value or whole <= 0:
        return "0"
    return f"{min(1.0, max(0.0, value / whole)) * length:.1f}"


def sentence(text: str) -> str:
    """A message as a sentence of a page; what it says a command line should do then is left out."""
    text = text.partition(": start one with")[0]
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def in_query(value: str) -> str:
    """A value as it stands in a link."""
    return quote(value, safe="")


FILTERS = {
    function.__name__: function
    for function in (
        seconds,
        span,
        size,
        number,
        percent,
        tiny,
        score,
        measure,
        clock,
        ago,
        share,
        in_query,
        sentence,
    )
}
