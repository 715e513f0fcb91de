"""Whether two readers of one JSON object could see different values under one key.

JSON lets a key stand twice; some readers take the first, some the last. Where a value decides what a caller
may do, and an engine reads the body again with a reader of its own, that difference is a way round the
decision. Cost: a whole parse, so ask only where it matters; none when the key's name stands once and
nothing is escaped.
"""

import json


class _Repeated(Exception):
    """Raised inside the parse: there is no need to go on."""


def is_repeated(body: bytes, key: str) -> bool:
    """Whether an object in the body has the key more than once; True for what cannot be judged."""
    if body.count(key.encode()) <= 1 and b"\\u" not in body:
        return False

    def look(pairs: list[tuple[str, object]]) -> None:
        if sum(name == key for name, _ in pairs) > 1:
            raise _Repeated

    try:
        json.loads(body, object_pairs_hook=look)
    except (_Repeated, ValueError, RecursionError):
        return True
    return False
