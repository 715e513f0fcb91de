"""A request: what a routing policy may know of it before it is sent.

A `msgspec.Struct`, since one is made for every request: a frozen dataclass of nine fields
takes 1.6 µs to make, a frozen struct 0.2 µs.
"""

import msgspec


class Request(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One inference or plain HTTP request, as the policies see it.

    prompt_tokens: tokens of the prompt, estimated by the gateway from its bytes, exact in traces.
    output_tokens: tokens expected in the answer (the caller's limit, or a learned mean); 0 when unknown.
    prefix_hashes: chained 64-bit hashes of the prompt's blocks, first block first; a hash names
        its block and all blocks before it. Empty when the prompt is shorter than a block.
    prefix_block_tokens: tokens that one block stands for.
    affinity_key: what a hash ring or a sticky session holds on to (a session, a user, a path); "" for none.
    tenant: on whose account; prefix hashes of two tenants never meet.
    """

    request_id: str = ""
    model: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    prefix_hashes: tuple[int, ...] = ()
    prefix_block_tokens: int = 256
    affinity_key: str = ""
    tenant: str = ""
    streams: bool = False
