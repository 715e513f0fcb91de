"""A child process that is spoken to by lines: the Ray executor's end of its bridge."""

import os
import selectors
import subprocess
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from steelyard.jobs.executors.local_node import Lines
from steelyard.jobs.executors.ray_lines import FromBridge, ToBridge

_LINE = msgspec.json.Decoder(FromBridge)
_ENCODER = msgspec.json.Encoder()


class BridgeLink:
    """One running bridge."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], log_path: str) -> None:
        """Start it; its errors go to the log. Raises OSError."""
        with open(log_path, "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=environment, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._lines = Lines()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self.is_open = True

    def send(self, order: ToBridge) -> None:
        """A failure shows at the next `receive`."""
        with suppress(OSError, ValueError):
            self._input.write(_ENCODER.encode(order) + b"\n")
            self._input.flush()

    def receive(self, patience_s: float = 0.0) -> list[FromBridge]:
        """What has arrived; waits so long for the first byte. `is_open` says whether more can come."""
        lines: list[FromBridge] = []
        if not self.is_open or not self._selector.select(patience_s):
            return lines
        while data := self._output.read(1 << 18):
            lines += [_LINE.decode(line) for line in self._lines.feed(data)]
        if data == b"":
            self.is_open = False
        return lines

    def close(self) -> None:
        """Close its input, so that it leaves; end it if it does not."""
        self.is_open = False
        with suppress(OSError):
            self._input.close()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        self._output.close()
