"""Deterministic answers: token number i of an answer depends on the prompt and on i alone.

So a stream continued by another engine can be checked token by token. One token is one short word and a
blank.
"""

import xxhash

_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu", "pa", "re", "si", "to", "vu", "za")


def prompt_seed(prompt: bytes) -> int:
    """What stands for a prompt in `token`."""
    return xxhash.xxh3_64_intdigest(prompt)


def token(seed: int, index: int) -> str:
    """Output token `index` (from 0) of the prompt with this seed."""
    word = xxhash.xxh3_64_intdigest(index.to_bytes(8, "big"), seed)
    return f"{_SYLLABLES[word & 15]}{_SYLLABLES[word >> 4 & 15]} "
