"""What happens to a fleet while it is simulated: replicas fail, come back, slow down, drain and join.

A scenario is a TOML file of events:

    [[event]]
    at_s = 60
    what = "slow"        # fail, recover, slow, drain or join
    replica = 2          # by number, from 0; join takes the next one
    factor = 3.0         # slow only: how many times longer everything takes; 1 ends it
    profile = "..."      # join only; the first replica's by default
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from steelyard.engines.profiles import PROFILES
from steelyard.model.errors import ConfigError

KINDS = ("fail", "recover", "slow", "drain", "join")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change. replica: a slot; -1 for the one that joins."""

    at_s: float
    what: str
    replica: int = -1
    factor: float = 1.0
    profile: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    event: list[Event] = []


def read_scenario(path: Path, replicas: int) -> list[Event]:
    """Events in order of time. Raises ConfigError for what cannot happen, OSError when not read."""
    try:
        events = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).event
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path} is no scenario: {error}") from None
    events = sorted(events, key=lambda event: event.at_s)
    for event in events:
        check_event(event, replicas)
        replicas += event.what == "join"
    return events


def check_event(event: Event, replicas: int) -> None:
    """Raises ConfigError for an event that cannot happen to a fleet of this size."""
    if event.what not in KINDS:
        raise ConfigError(f"what is {event.what!r} in a scenario: it must be one of {', '.join(KINDS)}")
    if not event.at_s >= 0:
        raise ConfigError(f"at_s is {event.at_s} in a scenario: it must be 0 or more")
    if event.what != "join" and not 0 <= event.replica < replicas:
        raise ConfigError(
            f"replica is {event.replica} in a scenario of {replicas} replicas: they are numbered from 0"
        )
    if event.what == "slow" and not 0 < event.factor < 1e6:
        raise ConfigError(f"factor is {event.factor} in a scenario: it must be above 0")
    if event.profile and event.profile not in PROFILES:
        raise ConfigError(
            f"profile is {event.profile!r} in a scenario: it must be one of {', '.join(PROFILES)}"
        )
