"""Where output goes: a terminal, a pipe, a file, nowhere; in whatever encoding, read to its end or not."""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 140  # columns of a table that no terminal shows: wide enough to cut nothing


class _Output(io.FileIO):
    """Standard output or errors. A reader that leaves early, such as `head -1`, is no fault of the verb."""

    reader_left = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write, or drop what nobody will read."""
        try:
            return super().write(data)
        except BrokenPipeError:
            self.reader_left = True
            return memoryview(data).nbytes


def open_outputs() -> None:
    """Make standard output and errors take any text, and let no reader that leaves end a verb."""
    _fill_closed()
    sys.stdout, sys.stderr = _opened(sys.stdout, 1), _opened(sys.stderr, 2)


def close_output() -> None:
    """Write what is left. Raises OSError, such as for a full disk, after which nothing more is tried."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise


def reader_left() -> bool:
    """Whether nobody reads standard output any more, so that a verb without an end may end."""
    buffer = getattr(sys.stdout, "buffer", None)
    return getattr(getattr(buffer, "raw", buffer), "reader_left", False)


def console(*, stderr: bool = False) -> "Console":
    """For tables and bars: as wide as the terminal (or COLUMNS), or wide enough for a file."""
    from rich.console import Console  # a tenth of a second that verbs without a table need not wait

    stream = sys.stderr if stderr else sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    # What stands in a name is no mark-up.
    return Console(
        stderr=stderr, width=PIPED_WIDTH if piped else None, highlight=False, markup=False, emoji=False
    )


def listing(*columns: str, title: str = "") -> "Table":
    """Without rules, which would cost a terminal of 80 columns a quarter of its width.

    The first column names its row and is cut last; what does not fit goes on in the next line.
    """
    from rich.table import Column, Table

    made = (Column(name, overflow="fold", no_wrap=at == 0) for at, name in enumerate(columns))
    return Table(
        *made, title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )


def _fill_closed() -> None:
    """Nothing that is opened later may get the number of a standard stream that was closed (`>&-`)."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _opened(stream: TextIO | None, number: int) -> TextIO:
    """The same stream again, with characters that its encoding lacks replaced."""
    raw = _Output(number, "w", closefd=False)
    if stream is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    stream.flush()
    old = cast(io.TextIOWrapper, stream)
    return io.TextIOWrapper(
        # `python -u` has no buffer between text and file.
        raw if isinstance(old.buffer, io.RawIOBase) else io.BufferedWriter(raw),
        encoding=old.encoding,
        errors="replace" if old.errors == "strict" else old.errors,
        line_buffering=old.line_buffering,
        write_through=old.write_through,
    )
