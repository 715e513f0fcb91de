"""Questions that the supervisor asks workers through shared memory, and their answers.

A worker has no port of its own and shares one with its siblings, so nobody could ask a certain worker over
HTTP. The supervisor writes a question under a new number; each worker meets it when it sweeps, and
writes its answer into its own place, its number last. One question at a time. Nothing is locked: a
question has one writer, an answer has one writer, and a number says when either is whole.

That each worker comes by is seen, too: it counts its visits, and how often it was late.
"""

QUESTION_BYTES = 1024
ANSWER_BYTES = 64 * 1024

_WORD = 8
_HEAD_WORDS = 2  # number, length
_HEAD_BYTES = _HEAD_WORDS * _WORD
_PULSE_WORDS = 2  # visits, late ones


class QuestionBoard:
    """The board as one process sees it. memory: `board_bytes(rows)` shared bytes, all zeros at first."""

    def __init__(self, memory: memoryview, rows: int) -> None:
        if len(memory) < board_bytes(rows):
            raise ValueError(f"a board of {rows} rows needs {board_bytes(rows)} bytes, not {len(memory)}")
        self.rows = rows
        self._bytes = memory
        pulses_at = self._answer_at(rows)
        self._pulses = memory[pulses_at : pulses_at + rows * _PULSE_WORDS * _WORD].cast("q")

    # --- the supervisor's side -----------------------------------------------------------------

    def ask(self, question: bytes) -> int:
        """Put a question; returns its number. Raises ValueError when it is too long."""
        if len(question) > QUESTION_BYTES:
            raise ValueError(f"a question takes {len(question)} bytes: {QUESTION_BYTES} is the most")
        head, number = self._head(0), self._head(0)[0] + 1
        self._bytes[_HEAD_BYTES : _HEAD_BYTES + len(question)] = question
        head[1] = len(question)
        head[0] = number
        return number

    def answer_of(self, worker: int, number: int) -> bytes | None:
        """What a worker answered to that question; None when it has not yet."""
        start = self._answer_at(worker)
        head = self._head(start)
        if head[0] != number:
            return None
        return bytes(self._bytes[start + _HEAD_BYTES : start + _HEAD_BYTES + head[1]])

    def beats(self, worker: int) -> int:
        """How often a worker has come by."""
        return self._pulses[worker * _PULSE_WORDS]

    def late_beats(self) -> int:
        """How often any worker was late, from the first one on."""
        return sum(self._pulses[worker * _PULSE_WORDS + 1] for worker in range(self.rows))

    # --- a worker's side -----------------------------------------------------------------------

    def beat(self, worker: int, *, late: bool) -> None:
        """A worker comes by."""
        at = worker * _PULSE_WORDS
        self._pulses[at] += 1
        if late:
            self._pulses[at + 1] += 1

    def open_question(self, worker: int) -> tuple[int, bytes] | None:
        """(number, question) when there is one that this worker has not answered."""
        head = self._head(0)
        number = head[0]
        if number == self._head(self._answer_at(worker))[0]:
            return None
        return number, bytes(self._bytes[_HEAD_BYTES : _HEAD_BYTES + head[1]])

    def answer(self, worker: int, number: int, answer: bytes) -> None:
        """Write an answer; one that is too long is refused by the caller's own means. Raises ValueError."""
        if len(answer) > ANSWER_BYTES:
            raise ValueError(f"an answer takes {len(answer)} bytes: {ANSWER_BYTES} is the most")
        start = self._answer_at(worker)
        head = self._head(start)
        self._bytes[start + _HEAD_BYTES : start + _HEAD_BYTES + len(answer)] = answer
        head[1] = len(answer)
        head[0] = number

    def _head(self, start: int) -> memoryview:
        return self._bytes[start : start + _HEAD_BYTES].cast("q")

    def _answer_at(self, worker: int) -> int:
        return _HEAD_BYTES + QUESTION_BYTES + worker * (_HEAD_BYTES + ANSWER_BYTES)


def board_bytes(rows: int) -> int:
    """The size of a board."""
    return _HEAD_BYTES + QUESTION_BYTES + rows * (_HEAD_BYTES + ANSWER_BYTES + _PULSE_WORDS * _WORD)
