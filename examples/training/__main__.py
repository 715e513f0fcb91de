"""`python -m examples.training [--torch]`: train, train again while a node is killed, compare the losses."""

import os
import re
import sys
import time
from pathlib import Path

from examples.service import Service, jobs_service, until

HERE = Path(__file__).parent


def final_loss(service: Service, job_id: str) -> str:
    """What rank 0 printed at the end."""
    service.wait(job_id)
    return re.findall(r"^final loss (\S+)$", service.log(job_id), re.MULTILINE)[-1]


def main() -> int:
    """0 when both losses are the same."""
    job = HERE / ("train_torch.toml" if "--torch" in sys.argv else "train.toml")
    os.environ.setdefault("STEPS", "300")
    with jobs_service() as service:
        print(f"training on nodes A and B, undisturbed: {job.name}", flush=True)
        expected = final_loss(service, service.submit(job))
        print(f"final loss {expected}", flush=True)
        job_id = service.submit(job)
        until(lambda: "step 100 " in service.log(job_id), "the second run reaches step 100")
        victim = service.node_of(job_id, 1)
        print(f"once more; at step 100 node {victim}, where rank 1 runs, is killed", flush=True)
        service.kill_node(victim)
        killed_s = time.monotonic()
        until(lambda: service.log(job_id).count("from step") > 1, "the gang runs again")
        resumed = re.findall(r"^from step (\d+) ", service.log(job_id), re.MULTILINE)[-1]
        print(f"the gang goes on from step {resumed}, {time.monotonic() - killed_s:.1f} s later", flush=True)
        found = final_loss(service, job_id)
        print(f"final loss {found}: {'the same' if found == expected else 'NOT the same'}", flush=True)
    return 0 if found == expected else 1


if __name__ == "__main__":
    sys.exit(main())
