"""One shard: the sales a shop in the files that this task was dealt, by DuckDB.

It keeps what it has after each file, so that a task whose node dies repeats one file at most.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import duckdb

from steelyard.jobs.checkpoints import Checkpoints

QUERY = """
SELECT shop, count(*) AS sales, sum(pieces) AS pieces, sum(pieces * price_cents) AS cents, max(price_cents) AS dearest
FROM read_csv($files) GROUP BY shop ORDER BY shop
"""  # noqa: E501  a script as it is written
Sums = dict[str, list[int]]


def count(files: list[str]) -> Sums:
    """Shop → sales, pieces, cents, dearest."""
    rows = duckdb.execute(QUERY, {"files": files}).fetchall()
    return {str(shop): [int(value) for value in values] for shop, *values in rows}


def merged(first: Sums, second: Sums) -> Sums:
    """The sums of both; of the dearest the dearer."""
    both = dict(first)
    for shop, (sales, pieces, cents, dearest) in second.items():
        had = both.get(shop, [0, 0, 0, 0])
        both[shop] = [had[0] + sales, had[1] + pieces, had[2] + cents, max(had[3], dearest)]
    return both


def write(path: Path, sums: Sums) -> None:
    """Whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(sums, sort_keys=True))
    temporary.replace(path)


def main() -> int:
    """Count the shard."""
    files = os.environ["STEELYARD_SHARD_FILES"].split("\n")
    pause_s = float(os.environ.get("PAUSE_S", "0"))
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    checkpoints, sums = Checkpoints.from_environment(), {}
    found = checkpoints.load()
    done = found.step if found is not None else 0
    if found is not None:
        sums = json.loads(found.payload)
    print(f"{len(files)} files, {done} of them counted before", flush=True)
    for number, file in enumerate(files[done:], start=done + 1):
        if asked:
            return 0
        sums = merged(sums, count([file]))
        checkpoints.save(number, json.dumps(sums).encode())
        print(f"counted {Path(file).name}", flush=True)
        time.sleep(pause_s)
    write(Path("parts") / f"{os.environ['STEELYARD_SHARD']}.json", sums)
    return 0


if __name__ == "__main__":
    sys.exit(main())
