"""Fit engine profiles to the Splitwise measurements below STEELYARD_DATA: python tools/fit_profiles.py.

Prints, for each measured model and machine, what `engines/profiles.py` holds. Least squares of relative
error: prompt time as a + b · (prompt tokens × batch), time per token as c + d · batch, in milliseconds.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelyard.traces.readers import data_folder

MEASUREMENTS = "llm/splitwise_perf_model.csv"
Column = NDArray[np.float64]


def fit(amount: Column, time_ms: Column) -> tuple[float, float, float]:
    """(constant, slope, median relative error) of time_ms ≈ constant + slope · amount."""
    terms = np.column_stack([np.ones_like(amount), amount])
    found = np.linalg.lstsq(terms / time_ms[:, None], np.ones_like(time_ms), rcond=None)[0]
    error = float(np.median(np.abs(terms @ found - time_ms) / time_ms))
    return float(found[0]), float(found[1]), error


def main() -> int:
    """Print a line for each model, machine and degree of tensor parallelism."""
    folder = data_folder()
    path = folder / MEASUREMENTS if folder is not None else Path(MEASUREMENTS)
    if not path.exists():
        print(f"{path} is not there: set STEELYARD_DATA to the folder of public traces", file=sys.stderr)
        return 2
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            groups[row["model"], row["hardware"], row["tensor_parallel"]].append(row)
    for name, rows in sorted(groups.items()):
        batch, prompt, prefill_ms, token_ms = (
            np.array([float(row[key]) for row in rows])
            for key in ("batch_size", "prompt_size", "prompt_time", "token_time")
        )
        a, b, prompt_error = fit(prompt * batch, prefill_ms)
        c, d, token_error = fit(batch, token_ms)
        print(
            f"{' '.join(name)}: prompt {a:.1f} + {b:.4f} ms a token (error {prompt_error:.1%}), "
            f"step {c:.3f} + {d:.3f} ms a sequence (error {token_error:.1%})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
