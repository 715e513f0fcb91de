"""The TRACE argument of the verbs that take one: a file, or the name of a generated load and its settings."""

import random
from collections.abc import Callable
from pathlib import Path

import msgspec

from steelyard.model.errors import ConfigError
from steelyard.traces import generators
from steelyard.traces.generator import generate_conversation
from steelyard.traces.readers import read_trace
from steelyard.traces.request import TraceRequest

GENERATED_REQUESTS = 500
Settings = dict[str, float]


def _timed(times: Callable[[random.Random, Settings], object]) -> Callable[..., list[TraceRequest]]:
    def load(rng: random.Random, count: int, settings: Settings) -> list[TraceRequest]:
        return generators.conversations(rng, times(rng, settings), count)  # type: ignore[arg-type]  # what the generator takes

    return load


def _groups(rng: random.Random, count: int, settings: Settings) -> list[TraceRequest]:
    return generators.shared_prefix_groups(
        rng,
        groups=int(settings["groups"]),
        shared_tokens=int(settings["shared"]),
        own_tokens=int(settings["own"]),
        output_tokens=int(settings["output"]),
        from_per_s=settings["from"],
        to_per_s=settings["to"],
        span_s=settings["span"],
    )[:count]


def _sessions(rng: random.Random, count: int, settings: Settings) -> list[TraceRequest]:
    return generators.sessions(
        rng,
        generators.poisson_times(rng, settings["rate"]),
        count,
        mean_turns=settings["turns"],
        think_s=settings["think"],
        systems=int(settings["systems"]),
        system_tokens=int(settings["system"]),
    )


# name: (maker, settings that may be given, with what they are otherwise, requests where no limit is given)
GENERATED: dict[str, tuple[Callable[..., list[TraceRequest]], Settings, int]] = {
    "poisson": (
        _timed(lambda rng, given: generators.poisson_times(rng, given["rate"])),
        {"rate": 5.0},
        GENERATED_REQUESTS,
    ),
    "gamma": (
        _timed(lambda rng, given: generators.gamma_times(rng, given["rate"], given["shape"])),
        {"rate": 5.0, "shape": 0.5},
        GENERATED_REQUESTS,
    ),
    "diurnal": (
        _timed(
            lambda rng, given: generators.diurnal_times(rng, given["rate"], given["swing"], given["period"])
        ),
        {"rate": 5.0, "swing": 0.6, "period": 600.0},
        5000,
    ),
    "groups": (
        _groups,
        {
            "groups": 150.0,
            "shared": 6000.0,
            "own": 1200.0,
            "output": 250.0,
            "from": 3.0,
            "to": 60.0,
            "span": 480.0,
        },
        1_000_000,
    ),
    "sessions": (
        _sessions,
        {"rate": 1.0, "turns": 4.0, "think": 20.0, "systems": 20.0, "system": 1024.0},
        GENERATED_REQUESTS,
    ),
}


def load_requests(trace: str, limit: int | None, seed: int) -> list[TraceRequest]:
    """A trace by its name. Raises TraceError, ConfigError or OSError."""
    rng = random.Random(seed)
    if trace == "generated":
        return generate_conversation(limit or GENERATED_REQUESTS, rng)
    name, _, text = trace.partition(":")
    if name not in GENERATED or Path(trace).exists():
        return read_trace(Path(trace), limit)
    make, settings, count = GENERATED[name]
    requests = make(rng, limit or count, settings | _settings(name, text, settings))
    if not requests:
        raise ConfigError(f"{trace!r} makes no requests: raise its rate or its span")
    return requests


def _settings(name: str, text: str, known: Settings) -> Settings:
    given: Settings = {}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if key not in known or not 0 < number < 1e9:
            names = ", ".join(f"{setting}={usual:g}" for setting, usual in known.items())
            raise ConfigError(f"{part!r} is no setting of {name!r}: they are {names}")
        given[key] = number
    return given


def at_speed(requests: list[TraceRequest], speed: float) -> list[TraceRequest]:
    """The same load, arriving so many times as fast."""
    if speed == 1:
        return requests
    return [
        msgspec.structs.replace(each, arrival_s=each.arrival_s / speed, think_s=each.think_s / speed)
        for each in requests
    ]
