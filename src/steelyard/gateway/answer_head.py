"""What an engine's response head means, and how it goes on to the client.

Kept by its bytes (`wire/head_memo.py`): an engine's heads differ in length and date only.
"""

from dataclasses import dataclass

from steelyard.gateway import answers
from steelyard.gateway.dates import date_line
from steelyard.wire.head_memo import HeadMemo
from steelyard.wire.http1_head import ResponseHead, parse_response_head


@dataclass
class AnswerHead:
    """One response head, understood.

    start: status line and the fields that travel on, without framing and without the end.
    dated: the engine sent a Date.
    """

    status: int
    chunked: bool
    keep_alive: bool
    event_stream: bool
    retry_after: bytes
    start: bytes
    dated: bool

    def beginning(self) -> bytes:
        """`start` with a Date: where the engine sent none, the answer is of now."""
        return self.start if self.dated else self.start + date_line()


def answer_head_of(head: ResponseHead) -> AnswerHead:
    """Understand a head."""
    line = answers.STATUS_LINES.get(head.status) or b"HTTP/1.1 %d Unknown\r\n" % head.status
    return AnswerHead(
        status=head.status,
        chunked=head.chunked,
        keep_alive=head.keep_alive,
        event_stream=head.event_stream,
        retry_after=head.retry_after,
        start=line + b"".join(head.lines),
        dated=any(each[:5].lower() == b"date:" for each in head.lines),
    )


def _parse(data: bytes) -> tuple[AnswerHead, int]:
    head = parse_response_head(data)
    return answer_head_of(head), head.content_length


def answer_heads() -> HeadMemo[AnswerHead]:
    """A reader of response heads."""
    return HeadMemo(_parse)
