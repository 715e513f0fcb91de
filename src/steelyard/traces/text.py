"""Opening a trace, plain or gzipped."""

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import IO

from steelyard.model.errors import TraceError


def open_text(path: Path) -> IO[str]:
    """The file's text. Raises OSError when it cannot be read, TraceError when it is none."""
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(f"{path} is no whole gzip file: {error}") from None
    except UnicodeDecodeError as error:
        raise TraceError(f"{path} is not UTF-8 text, from byte {error.start} on") from None
    return io.StringIO(text, newline="")


def open_table(path: Path) -> "csv.DictReader[str]":
    """A CSV file with its header read. Raises OSError or TraceError."""
    rows = csv.DictReader(open_text(path))
    try:
        _ = rows.fieldnames
    except csv.Error as error:
        raise TraceError(f"{path} is no CSV: {error}") from None
    return rows
