"""`python -m examples.analysis`: a data set counted by shards, a node killed, and counted in one go."""

import json
import os
import shutil
import sys
from pathlib import Path

from examples.analysis.count import count
from examples.analysis.generate import generate
from examples.service import jobs_service, until

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "out" / "analysis"


def main() -> int:
    """0 when both results are the same."""
    os.environ.setdefault("PAUSE_S", "0.5")  # so that there is time to kill something
    shutil.rmtree(OUT, ignore_errors=True)
    generate(OUT / "data")
    with jobs_service() as service:
        job_id = service.submit(HERE / "analysis.toml")
        shards = range(8)
        until(lambda: all("counted day" in service.log(job_id, each) for each in shards), "all shards count")
        nodes = [service.node_of(job_id, shard) for shard in shards]
        print(f"eight shards run on nodes {' '.join(nodes)}; node A is killed", flush=True)
        service.kill_node("A")
        service.wait(job_id)
        logs = [service.log(job_id, shard) for shard in shards]
        again = sum("files, " in log and log.count("files, ") > 1 for log in logs)
        counted = sum(log.count("counted day") for log in logs)
    sharded = json.loads((OUT / "result.json").read_text())
    files = sorted(map(str, (OUT / "data").glob("*.csv")))
    print(f"{again} shards started again; {counted} files counted, of {len(files)} there are", flush=True)
    whole = count(files)
    print(f"{len(sharded)} shops: {'equal to' if sharded == whole else 'NOT equal to'} the count in one go")
    return 0 if sharded == whole and again > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
