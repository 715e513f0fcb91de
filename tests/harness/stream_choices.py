"""What a client makes of the choices in a stream's events."""

from typing import Any, Protocol


class Hearing(Protocol):
    """Where it is noted: the text so far, how often a role was told, why it ended."""

    text: str
    roles: int
    finish: list[str]


def hear(hearing: Hearing, choices: list[dict[str, Any]]) -> None:
    """Take in one event's choices, of a chat or a completion."""
    for choice in choices:
        delta = choice.get("delta", {})
        hearing.text += choice.get("text") or delta.get("content") or ""
        hearing.roles += "role" in delta
        hearing.finish += [choice["finish_reason"]] if choice.get("finish_reason") else []
