"""A request: what a routing policy may know of it before it is sent.

Written out, since one is made for every request: compiled, it takes 0.1 µs to make and nothing to read; a
frozen dataclass of nine fields takes 1.6 µs, a struct of msgspec 0.2 µs, and 30 ns for each field read.
"""

from typing import Final

PREFIX_HASH_BITS: Final = 62  # compiled, whole numbers of more bits are objects


class Request:
    """One inference or plain HTTP request, as the policies see it. Nothing of it changes.

    prompt_tokens: tokens of the prompt, estimated by the gateway from its bytes, exact in traces.
    output_tokens: tokens expected in the answer (the caller's limit, or a learned mean); 0 when unknown.
    prefix_hashes: chained hashes of the prompt's blocks, `PREFIX_HASH_BITS` each, first block first; a hash
        names its block and all blocks before it. Empty when the prompt is shorter than a block.
    prefix_block_tokens: tokens that one block stands for.
    affinity_key: what a hash ring or a sticky session holds on to (a session, a user, a path); "" for none.
    tenant: on whose account; prefix hashes of two tenants never meet.
    """

    __slots__ = (
        "affinity_key",
        "model",
        "output_tokens",
        "prefix_block_tokens",
        "prefix_hashes",
        "prompt_tokens",
        "request_id",
        "streams",
        "tenant",
    )

    def __init__(
        self,
        *,
        request_id: str = "",
        model: str = "",
        prompt_tokens: int = 0,
        output_tokens: int = 0,
        prefix_hashes: tuple[int, ...] = (),
        prefix_block_tokens: int = 256,
        affinity_key: str = "",
        tenant: str = "",
        streams: bool = False,
    ) -> None:
        self.request_id: Final = request_id
        self.model: Final = model
        self.prompt_tokens: Final = prompt_tokens
        self.output_tokens: Final = output_tokens
        self.prefix_hashes: Final = prefix_hashes
        self.prefix_block_tokens: Final = prefix_block_tokens
        self.affinity_key: Final = affinity_key
        self.tenant: Final = tenant
        self.streams: Final = streams
