"""Child processes of a demo: started, known by the line in which they say where they listen, always
reaped.
"""

import asyncio
import os
import signal
import sys
from types import TracebackType

from steelyard.model.errors import SteelyardError

START_TIMEOUT_S = 30.0


class Child:
    """One steelyard process."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: dict[str, str]) -> None:
        self._process = process
        self.addresses = addresses

    @classmethod
    async def start(cls, *arguments: str, listens: tuple[str, ...]) -> "Child":
        """Start `steelyard ARGUMENTS` and wait for a line `NAME listening on URL` for each name in
        `listens`.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "steelyard",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
        )
        addresses: dict[str, str] = {}
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while len(addresses) < len(listens) and process.stdout is not None:
                    line = (await process.stdout.readline()).decode()
                    if not line:
                        raise SteelyardError(f"`steelyard {' '.join(arguments)}` ended before it listened")
                    name, found, url = line.strip().partition(" listening on ")
                    if found and name in listens:
                        addresses[name] = url
        except BaseException:
            await _end(process, signal.SIGKILL)
            raise
        return cls(process, addresses)

    async def kill(self) -> None:
        """As a crash would: SIGKILL."""
        await _end(self._process, signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL for one that does not end."""
        await _end(self._process, signal.SIGTERM)


async def _end(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is not None:
        return
    os.kill(process.pid, number)
    try:
        await asyncio.wait_for(process.wait(), 10)
    except TimeoutError:
        process.kill()
        await process.wait()


class Children:
    """All children of a demo; leaving the block ends every one, also after an error."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    async def __aenter__(self) -> "Children":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(child.stop() for child in self._children))

    async def start(self, *arguments: str, listens: tuple[str, ...]) -> Child:
        """Start one."""
        child = await Child.start(*arguments, listens=listens)
        self._children.append(child)
        return child
