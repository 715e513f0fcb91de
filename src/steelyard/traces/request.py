"""One request of a trace: when, how long a prompt, how long an answer, and what it shares with others."""

import msgspec


class TraceRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A recorded or generated request.

    arrival_s: since the beginning of the trace.
    prefix_blocks: names of the prompt's blocks of `block_tokens` tokens, as the trace gives them; equal
        names are equal text.
    session: a conversation whose turns follow one another; 0 for none.
    think_s: in a session, the least time between the end of the answer before and this request: when
        answers lag, so do the turns after them (a closed loop within a session).
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    prefix_blocks: tuple[int, ...] = ()
    block_tokens: int = 512
    session: int = 0
    think_s: float = 0.0
