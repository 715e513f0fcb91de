"""On which line each key of a TOML text stands, since `tomllib` does not say.

A place is the way to a key: ("pools", 1, "replicas", 0, "weight"). The text has been read by `tomllib`
before, so that only what is valid comes here; of values no more is understood than where they end. Cost:
linear in the text, paid only when there is a mistake to name.
"""

import re
from bisect import bisect_right

Place = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)')
_STRING = re.compile(r'"""(?:[^\\]|\\[\s\S])*?"{3,5}|\'\'\'[\s\S]*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')
_SCALAR = re.compile(r"[^,\]}#\n]*")


def lines_of(text: str) -> dict[Place, int]:
    """Place to line, from 1; tables, arrays' entries and keys."""
    return _Scanner(text).scan()


class _Scanner:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._found: dict[Place, int] = {}
        self._entries: dict[Place, int] = {}  # how many [[tables]] of that name have begun

    def scan(self) -> dict[Place, int]:
        """Read all statements."""
        table: Place = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            begun = self._at
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._key_and_value(table)
            self._skip(_BLANK)
            if self._at == begun:  # not TOML after all: stop rather than turn in place
                break
        return self._found

    def _header(self) -> Place:
        start = self._at
        many = self._text.startswith("[[", start)
        self._at += 2 if many else 1
        *parents, last = self._key()
        self._at += 2 if many else 1
        place: Place = ()
        for part in parents:
            place = self._newest((*place, part))
        place = (*place, last)
        if many:
            self._entries[place] = self._entries.get(place, 0) + 1
            self._note(place, start)
            place = self._newest(place)
        self._note(place, start)
        return place

    def _newest(self, place: Place) -> Place:
        count = self._entries.get(place)
        return place if count is None else (*place, count - 1)

    def _key_and_value(self, table: Place) -> None:
        start = self._at
        place = table
        for part in self._key():
            place = (*place, part)
            self._note(place, start)
        self._at += 1  # the equals sign
        self._value(place)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_SPACES)
            found = _KEY_PART.match(self._text, self._at)
            if found is None:
                return parts or [""]
            self._at = found.end()
            parts.append(next(group for group in found.groups() if group is not None))
            self._skip(_SPACES)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self, place: Place) -> None:
        self._skip(_BLANK)
        opened = self._text[self._at : self._at + 1]
        if opened in ("[", "{"):
            self._collection(place, "]" if opened == "[" else "}")
        else:
            self._skip(_STRING if opened in ('"', "'") else _SCALAR)

    def _collection(self, place: Place, close: str) -> None:
        self._at += 1
        index = 0
        self._skip(_BLANK)
        while self._at < len(self._text) and self._text[self._at] != close:
            begun = self._at
            if close == "]":
                self._note((*place, index), self._at)
                self._value((*place, index))
                index += 1
            else:
                self._key_and_value(place)
            self._skip(_BLANK)
            if self._text.startswith(",", self._at):
                self._at += 1
                self._skip(_BLANK)
            elif self._at == begun:
                break
        self._at += 1

    def _note(self, place: Place, at: int) -> None:
        self._found.setdefault(place, bisect_right(self._line_starts, at))

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
