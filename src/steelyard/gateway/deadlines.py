"""Whether an answer is overdue. Each budget fires by itself: head, first payload, between payloads, total."""

from steelyard.config.schema import TimeoutOptions


def overdue(
    limits: TimeoutOptions,
    *,
    total_s: float,
    waited_s: float,
    has_head: bool,
    begun: bool,
    client_reads: bool,
) -> str:
    """What took too long, in words; "" for nothing.

    total_s: since the request began. waited_s: since anything last came from the engine.
    client_reads: False when the silence is ours, as reading is paused for a client that does not read.
    """
    if total_s > limits.total_timeout_s:
        return f"the whole answer took over {limits.total_timeout_s:g} s"
    if not has_head:
        late = waited_s > limits.head_timeout_s
        return f"no response head within {limits.head_timeout_s:g} s" if late else ""
    if not begun:
        late = waited_s > limits.first_token_timeout_s and client_reads
        return f"no first token within {limits.first_token_timeout_s:g} s" if late else ""
    if waited_s > limits.between_tokens_timeout_s and client_reads:
        return f"nothing more within {limits.between_tokens_timeout_s:g} s"
    return ""
