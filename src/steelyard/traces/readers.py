"""Readers of public traces, plain or gzipped; which one a file needs is seen from its first line."""

import csv
import json
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from steelyard.model.errors import TraceError
from steelyard.traces.access_log import read_access_log
from steelyard.traces.request import TraceRequest
from steelyard.traces.text import open_text

AZURE_CONVERSATION = "llm/azure_llm_2023_conv.csv"


def data_folder() -> Path | None:
    """The folder of public traces: `STEELYARD_DATA`, or ../shared/data when it is there; None without one."""
    named = os.environ.get("STEELYARD_DATA")
    folder = Path(named) if named else Path("..") / "shared" / "data"
    return folder if folder.is_dir() else None


def read_trace(path: Path, limit: int | None = None) -> list[TraceRequest]:
    """Read a trace in order of time. Raises TraceError when it cannot be understood, OSError when not
    read.
    """
    with _open(path) as file:
        first = _first_line(file, path)
        if first.startswith("{") and '"request_id"' in first and '"attempts"' in first:
            return read_access_log(path, limit=limit).requests
        reader = _reader_for(first, path)
        try:
            requests = _take(reader(file), limit)
        except (KeyError, ValueError, TypeError) as error:
            raise TraceError(f"{path} cannot be read as a trace: {type(error).__name__}: {error}") from None
    if not requests:
        raise TraceError(f"{path} holds no requests")
    start_s = requests[0].arrival_s
    requests.sort(key=lambda request: request.arrival_s)
    return [_since(request, min(start_s, requests[0].arrival_s)) for request in requests]


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return open_text(path)
    return path.open(encoding="utf-8", newline="")


def _first_line(file: IO[str], path: Path) -> str:
    """It says which reader is wanted; the file is at its beginning again."""
    try:
        line = file.readline()
    except UnicodeDecodeError as error:
        raise TraceError(f"{path} is not UTF-8 text, from byte {error.start} on") from None
    file.seek(0)
    return line


def _reader_for(first: str, path: Path) -> Callable[[Iterable[str]], Iterable[TraceRequest]]:
    if first.startswith("TIMESTAMP,ContextTokens,GeneratedTokens"):
        return _azure
    if first.startswith("{"):
        return _mooncake if '"hash_ids"' in first else _json_lines
    if "arrival_s" in first and "prompt_tokens" in first:
        return _csv
    raise TraceError(
        f"{path} is no trace that is known: use Azure's CSV, Mooncake's JSON lines, a gateway's log, or "
        "CSV or JSON lines with arrival_s, prompt_tokens, output_tokens"
    )


def _take(requests: Iterable[TraceRequest], limit: int | None) -> list[TraceRequest]:
    taken: list[TraceRequest] = []
    for request in requests:
        if limit is not None and len(taken) >= limit:
            break
        taken.append(request)
    return taken


def _since(request: TraceRequest, start_s: float) -> TraceRequest:
    return msgspec.structs.replace(
        request,
        arrival_s=request.arrival_s - start_s,
        prompt_tokens=max(1, request.prompt_tokens),
        output_tokens=max(1, request.output_tokens),
    )


def _azure(lines: Iterable[str]) -> Iterable[TraceRequest]:
    for row in csv.DictReader(lines):
        # Seven decimals, one more than datetime reads.
        when = datetime.fromisoformat(row["TIMESTAMP"][:26] + "+00:00")
        yield TraceRequest(
            arrival_s=when.timestamp(),
            prompt_tokens=int(row["ContextTokens"]),
            output_tokens=int(row["GeneratedTokens"]),
        )


def _mooncake(lines: Iterable[str]) -> Iterable[TraceRequest]:
    for line in lines:
        row = json.loads(line)
        yield TraceRequest(
            arrival_s=row["timestamp"] / 1000,
            prompt_tokens=row["input_length"],
            output_tokens=row["output_length"],
            prefix_blocks=tuple(row["hash_ids"]),
        )


def _json_lines(lines: Iterable[str]) -> Iterable[TraceRequest]:
    for line in lines:
        row = json.loads(line)
        yield TraceRequest(
            arrival_s=float(row["arrival_s"]),
            prompt_tokens=int(row["prompt_tokens"]),
            output_tokens=int(row["output_tokens"]),
            prefix_blocks=tuple(row.get("prefix_blocks", ())),
            block_tokens=int(row.get("block_tokens", 512)),
            session=int(row.get("session", 0)),
            think_s=float(row.get("think_s", 0.0)),
        )


def _csv(lines: Iterable[str]) -> Iterable[TraceRequest]:
    for row in csv.DictReader(lines):
        yield TraceRequest(
            arrival_s=float(row["arrival_s"]),
            prompt_tokens=int(row["prompt_tokens"]),
            output_tokens=int(row["output_tokens"]),
        )
