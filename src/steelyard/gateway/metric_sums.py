"""Totals that do not fall when a reload replaces those who counted.

Each generation of workers counts in a page of its own. What is shown is the newest generation's text, with
the counters and histograms of older ones added series by series; gauges are the newest one's alone. Series
that the newest configuration does not have are dropped, so what is remembered has the bound that it has.
"""

from collections.abc import Iterable, Iterator


def _series(text: str) -> Iterator[tuple[str, str]]:
    """(name with labels, value) of each counting series."""
    counting = False
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            counting = line.endswith((" counter", " histogram"))
        elif counting and line and line[0] != "#":
            name, _, value = line.rpartition(" ")
            yield name, value


def counts(text: bytes) -> dict[str, float]:
    """All counters and histogram words of a text."""
    return {name: float(value) for name, value in _series(text.decode())}


def total(pasts: Iterable[dict[str, float]]) -> dict[str, float]:
    """The sums of several."""
    sums: dict[str, float] = {}
    for past in pasts:
        for name, value in past.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def with_past(text: bytes, past: dict[str, float]) -> bytes:
    """The text with what was counted before added to its counters and histograms."""
    if not past:
        return text
    lines, counting = [], False
    for line in text.decode().splitlines():
        if line.startswith("# TYPE "):
            counting = line.endswith((" counter", " histogram"))
        elif counting and line and line[0] != "#":
            name, _, value = line.rpartition(" ")
            if before := past.get(name):
                line = f"{name} {_number(float(value) + before)}"
        lines.append(line)
    return ("\n".join(lines) + "\n").encode()


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(round(value, 6))
