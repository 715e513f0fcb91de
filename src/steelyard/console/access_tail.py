"""The end of the access log: how the last requests went, by id. Reads no more than its last 256 KiB."""

from pathlib import Path
from typing import Any

import msgspec

TAIL_BYTES = 256 * 1024


class Ended(msgspec.Struct):
    """What is shown of a line."""

    request_id: str
    at: float = 0.0
    status: int = 0
    model: str = ""
    tenant: str = ""
    streams: bool = False
    output_tokens: int = 0
    ttft_s: float | None = None
    total_s: float = 0.0
    attempts: int = 0
    error: str = ""


_decoder = msgspec.json.Decoder(Ended)


def by_request(path: str) -> dict[str, dict[str, Any]]:
    """The last lines by request; {} when the file cannot be read."""
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).split(b"\n")
    except OSError:
        return {}
    if size > TAIL_BYTES:
        del lines[0]  # its beginning was cut off
    found = {}
    for line in lines:
        try:
            ended = _decoder.decode(line)
        except msgspec.MsgspecError:
            continue  # the last line may be half written
        found[ended.request_id] = msgspec.structs.asdict(ended)
    return found
