"""How a worker goes: stopped with the whole gateway, or retired when a successor serves in its place.

A client that keeps its connection may send its next request at any moment, and whoever closes just then loses
it. So a retiring worker closes no connection that was in use lately: its answers say `Connection: close`,
and only what has been quiet for `QUIET_S` is closed unasked, as idle connections are at any time.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.gateway.context import WorkerContext

QUIET_S = 5.0
LOOK_S = 0.05


async def leave(
    context: "WorkerContext", servers: list[asyncio.Server], *, quiet_s: float, timeout_s: float
) -> None:
    """Take no more connections; return when the last is done, or when the time is over.

    quiet_s: how long a connection must have been quiet to be closed.
    """
    context.draining = True
    for server in servers:
        server.close()
    give_up_s = monotonic() + timeout_s
    while context.connections and (now_s := monotonic()) < give_up_s:
        for connection in list(context.connections):
            connection.close_if_quiet(now_s, quiet_s)
        await asyncio.sleep(LOOK_S)
