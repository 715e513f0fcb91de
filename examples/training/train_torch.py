"""The same with PyTorch: distributed data-parallel over gloo, on the CPU.

Start it by `steelyard submit examples/training/train_torch.toml`. There is no torchrun: steelyard itself
starts the ranks, and starts the whole gang again when one is lost.
"""

import argparse
import io
import os
import signal
import sys
import time

import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from steelyard.jobs.checkpoints import Checkpoints

START_ME_AGAIN = 75
CLASSES, BATCH = 3, 96


def spirals(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on three spirals, and which one each is on."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=chance)
    radius = torch.rand(count, generator=chance)
    noise = 0.15 * torch.randn(count, generator=chance)
    angle = 4.0 * radius + labels * (2 * torch.pi / CLASSES) + noise
    return torch.stack([radius * torch.sin(angle), radius * torch.cos(angle)], dim=1), labels


def main() -> int:
    """Train; 0 when done or asked to stop, 75 when a rank went missing."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=300)
    options.add_argument("--checkpoint-every", type=int, default=20)
    options.add_argument("--step-time", type=float, default=0.02, help="seconds a step takes at least")
    given = options.parse_args()
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    try:
        code = train(given, asked)
        torch.distributed.destroy_process_group()
    except RuntimeError as error:  # what gloo raises when a peer is gone
        print(f"rank {os.environ.get('RANK', '0')}: {error}".split("\n")[0], flush=True)
        code = START_ME_AGAIN
    return code


def train(given: argparse.Namespace, asked: list[int]) -> int:
    """All steps that are left."""
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, CLASSES))
    model = DistributedDataParallel(layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    checkpoints, step = Checkpoints.from_environment(), 0
    if (found := checkpoints.load()) is not None:  # all ranks read the one that rank 0 wrote
        state = torch.load(io.BytesIO(found.payload), weights_only=True)
        layers.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = found.step
    torch.distributed.barrier()
    if rank == 0:
        print(f"from step {step} with {ranks} ranks", flush=True)

    def save() -> None:
        if rank == 0:
            state = {"model": layers.state_dict(), "optimizer": optimizer.state_dict()}
            checkpoints.save(step, lambda file: torch.save(state, file))

    while step < given.steps:
        started_s = time.monotonic()
        points, labels = spirals(BATCH, seed=1_000 + step)
        loss = torch.nn.functional.cross_entropy(model(points[rank::ranks]), labels[rank::ranks])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        told = torch.tensor([loss.item() / ranks, float(bool(asked))])
        torch.distributed.all_reduce(told)
        if told[1]:  # one rank was asked to stop: all leave after the same step
            save()
            print(f"rank {rank}: stopped at step {step}", flush=True)
            return 0
        if step % given.checkpoint_every == 0:
            save()
            if rank == 0:
                print(f"step {step} loss {told[0].item():.6f}", flush=True)
        time.sleep(max(0.0, given.step_time - (time.monotonic() - started_s)))
    if rank == 0:
        points, labels = spirals(2_000, seed=7)
        with torch.no_grad():
            print(
                f"final loss {torch.nn.functional.cross_entropy(layers(points), labels).item()!r}", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
