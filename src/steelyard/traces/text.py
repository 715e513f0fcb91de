"""Opening a trace, plain or gzipped."""

import gzip
import io
from pathlib import Path
from typing import IO


def open_text(path: Path) -> IO[str]:
    """The file's text. Raises OSError when it cannot be read."""
    if path.suffix == ".gz":
        return io.TextIOWrapper(io.BytesIO(gzip.decompress(path.read_bytes())), encoding="utf-8")
    return path.open(encoding="utf-8", newline="")
