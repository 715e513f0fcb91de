"""A piece of a log as text. Pieces of bytes are cut anywhere, characters nowhere.

What is no UTF-8 shows as U+FFFD. A character of which the rest is not there yet is left for the next piece.
"""

import codecs
from itertools import takewhile

_DECODER = codecs.getincrementaldecoder("utf-8")
CONTINUATIONS = range(0x80, 0xC0)
MAX_CONTINUATIONS = 3  # of one character


def text_of(data: bytes, complete: bool) -> tuple[str, int]:
    """The text, and how many bytes it took. complete: nothing comes after `data`."""
    decoder = _DECODER("replace")
    text = decoder.decode(data, final=complete)
    return text, len(data) - len(decoder.getstate()[0])


def begun_before(data: bytes) -> int:
    """How many bytes at the beginning belong to a character that began before them."""
    return sum(1 for _ in takewhile(CONTINUATIONS.__contains__, data[:MAX_CONTINUATIONS]))
