"""Data-parallel training of a small network over a gang, with NumPy: kill it, and it ends the same.

Each rank takes its share of every batch, gradients are summed over the ranks, rank 0 writes checkpoints. A
step depends on nothing but the weights and its number, so a run that was killed, moved or paused reaches
the same final loss, to the last bit. Prints `step N loss L` now and then and `final loss L` at the end.
"""

import argparse
import os
import signal
import sys
import time

import numpy as np
from collective import Collective

from steelyard.jobs.checkpoints import Checkpoints

START_ME_AGAIN = 75
INPUTS, HIDDEN, CLASSES = 2, 32, 3
BATCH, RATE, MOMENTUM = 96, 0.2, 0.9
SHAPES = [(INPUTS, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)]
SIZE = sum(int(np.prod(shape)) for shape in SHAPES)


def spirals(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points on three spirals, and which one each is on."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, CLASSES, count)
    radius = chance.random(count)
    angle = 4.0 * radius + labels * (2 * np.pi / CLASSES) + chance.normal(0.0, 0.15, count)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1), labels


def split(flat: np.ndarray) -> list[np.ndarray]:
    """The layers that a flat vector holds."""
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), SHAPES, strict=True)]


def loss_and_gradient(
    weights: np.ndarray, points: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray]:
    """Summed cross entropy over the points, and its gradient."""
    first, first_bias, second, second_bias = split(weights)
    hidden = np.tanh(points @ first + first_bias)
    scores = hidden @ second + second_bias
    scores -= scores.max(axis=1, keepdims=True)
    shares = np.exp(scores)
    shares /= shares.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -float(np.log(shares[rows, labels]).sum())
    shares[rows, labels] -= 1.0
    back = (shares @ second.T) * (1.0 - hidden**2)
    gradient = [points.T @ back, back.sum(axis=0), hidden.T @ shares, shares.sum(axis=0)]
    return loss, np.concatenate([part.ravel() for part in gradient])


def main() -> int:
    """Train; 0 when done or asked to stop, 75 when a rank went missing."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=300)
    options.add_argument("--checkpoint-every", type=int, default=20)
    options.add_argument("--step-time", type=float, default=0.02, help="seconds a step takes at least")
    given = options.parse_args()
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        return train(given, asked)
    except OSError as error:
        print(f"rank {os.environ.get('RANK', '0')}: {error}", flush=True)
        return START_ME_AGAIN


def train(given: argparse.Namespace, asked: list[int]) -> int:
    """All steps that are left."""
    checkpoints = Checkpoints.from_environment()
    gang = Collective()
    found = checkpoints.load() if gang.rank == 0 else None
    # Rank 0 read it, and all start from its bits: weights, momentum, step.
    state = np.zeros(2 * SIZE + 1)
    if found is not None:
        state = np.frombuffer(found.payload, dtype=np.float64)
    elif gang.rank == 0:
        state[:SIZE] = np.random.default_rng(0).normal(0.0, 0.5, SIZE)
    state = gang.sum(state)
    weights, momentum, step = state[:SIZE].copy(), state[SIZE:-1].copy(), int(state[-1])
    if gang.rank == 0:
        print(f"from step {step} with {gang.world_size} ranks", flush=True)

    def save() -> None:
        if gang.rank == 0:
            checkpoints.save(step, np.concatenate([weights, momentum, [float(step)]]).tobytes())

    share = slice(gang.rank, None, gang.world_size)
    while step < given.steps:
        started_s = time.monotonic()
        points, labels = spirals(BATCH, seed=1_000 + step)
        loss, gradient = loss_and_gradient(weights, points[share], labels[share])
        summed = gang.sum(np.concatenate([gradient, [loss, float(bool(asked))]]))
        momentum = MOMENTUM * momentum + summed[:-2] / BATCH
        weights = weights - RATE * momentum
        step += 1
        if summed[-1]:  # one rank was asked to stop: all leave after the same step
            save()
            print(f"rank {gang.rank}: stopped at step {step}", flush=True)
            return 0
        if step % given.checkpoint_every == 0:
            save()
            if gang.rank == 0:
                print(f"step {step} loss {summed[-2] / BATCH:.6f}", flush=True)
        time.sleep(max(0.0, given.step_time - (time.monotonic() - started_s)))
    if gang.rank == 0:
        print(f"final loss {loss_and_gradient(weights, *spirals(2_000, seed=7))[0] / 2_000!r}", flush=True)
    gang.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
