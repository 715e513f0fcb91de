"""The shipped profiles say what the measurements say."""

import csv
from collections import defaultdict
from statistics import median

import pytest

from steelyard.engines.profiles import PROFILES
from steelyard.traces.readers import data_folder

FOLDER = data_folder()
MEASUREMENTS = None if FOLDER is None else FOLDER / "llm" / "splitwise_perf_model.csv"
HARDWARE = {"a100": "a100-80gb", "h100": "h100-80gb"}


@pytest.mark.trace
@pytest.mark.skipif(
    MEASUREMENTS is None or not MEASUREMENTS.exists(),
    reason="the Splitwise measurements are not below STEELYARD_DATA or ../shared/data",
)
@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_gives_back_the_measured_times(name: str) -> None:
    assert MEASUREMENTS is not None
    model, _, machine = name.rpartition("-")
    device, _, parallel = machine.partition("x")
    errors: dict[str, list[float]] = defaultdict(list)
    profile = PROFILES[name]
    with MEASUREMENTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if (row["model"], row["hardware"], row["tensor_parallel"]) != (model, HARDWARE[device], parallel):
                continue
            batch, token_s = int(row["batch_size"]), float(row["token_time"]) / 1e3
            errors["token"].append(abs(profile.step_s + profile.sequence_s * batch - token_s) / token_s)
            prompt_tokens = int(row["prompt_size"]) * batch
            if prompt_tokens >= 2_048:
                prompt_s = float(row["prompt_time"]) / 1e3
                fitted_s = profile.prefill_token_s * prompt_tokens + profile.step_s
                errors["prompt"].append(abs(fitted_s - prompt_s) / prompt_s)
    # The fit's own median errors are at most 1.9 % and 19 %; the margin is for the constant left out.
    assert median(errors["token"]) < 0.02
    assert median(errors["prompt"]) < 0.25


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_is_filed_under_its_name_and_can_run(name: str) -> None:
    profile = PROFILES[name]
    assert (profile.name, bool(profile.summary)) == (name, True)
    # More than one measured prompt of 8,192 tokens fits, and a full chunk is worth more than a step.
    assert profile.kv_tokens > 2 * 8_192
    assert 2_000 < profile.prefill_tokens_per_s < 20_000
