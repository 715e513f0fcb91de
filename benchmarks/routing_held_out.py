"""The default policy on loads that its constants were not chosen on: `python -m benchmarks.routing_held_out`.

Three loads unlike those of `benchmarks.routing`: lengths of arXiv summaries that arrive in bursts; deep
conversations with long system prompts, in bursts, on engines of two speeds; and a few groups with short
prompts before twelve large models. The policies that come close, three seeds each; finished runs are kept.
"""

import csv
import random
import sys
from pathlib import Path

from benchmarks.machine import commit, describe
from benchmarks.routing import section
from benchmarks.routing_cases import EQUAL, MIXED, OBJECTIVE, Case, kept_or_simulated
from steelyard.engines.profiles import PROFILES
from steelyard.traces.generators import gamma_times, sessions, shared_prefix_groups
from steelyard.traces.readers import data_folder
from steelyard.traces.request import TraceRequest

RESULTS = Path(__file__).parent / "results" / "routing-held-out.md"
ARXIV_LENGTHS = "llm/vidur_arxiv_summarization_lengths.csv"
COUNT = 6000
NAMES = ("prefix-ttft", "oracle", "dynamo-cost", "lmetric", "vllm-smetric", "inference-extension")
SEEDS = range(1, 4)


def _summaries(folder: Path, seed: int) -> list[TraceRequest]:
    """Prompts and answers of recorded lengths; 19 a second on average, in bursts; nothing is shared."""
    rng = random.Random(seed)
    with (folder / ARXIV_LENGTHS).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    times = gamma_times(rng, 19.0)
    requests: list[TraceRequest] = []
    for _ in range(COUNT):
        row = rng.choice(rows)
        prompt_tokens, output_tokens = (
            int(float(row[f"num_{phase}_tokens"])) for phase in ("prefill", "decode")
        )
        requests.append(
            TraceRequest(
                arrival_s=next(times), prompt_tokens=prompt_tokens, output_tokens=max(1, output_tokens)
            )
        )
    return requests


def _deep_sessions(seed: int) -> list[TraceRequest]:
    times = gamma_times(random.Random(seed + 99), 4.0)
    return sessions(
        random.Random(seed), times, COUNT, mean_turns=8.0, think_s=10.0, systems=5, system_tokens=4096
    )


def _few_groups(seed: int) -> list[TraceRequest]:
    return shared_prefix_groups(
        random.Random(seed),
        groups=60,
        users=1,
        shared_tokens=2048,
        own_tokens=512,
        output_tokens=120,
        from_per_s=30.0,
        to_per_s=60.0,
        span_s=300.0,
    )


def cases(folder: Path) -> list[Case]:
    """All three."""
    return [
        Case(
            "held-out-arxiv",
            "Lengths of arXiv summaries, 19 a second in bursts, eight equal engines",
            EQUAL,
            lambda seed: _summaries(folder, seed),
        ),
        Case(
            "held-out-deep",
            "Conversations of eight turns behind 4,096 shared tokens, 4 begun a second in bursts, "
            "engines of two speeds",
            MIXED,
            _deep_sessions,
        ),
        Case(
            "held-out-few",
            "60 groups of 2,048 shared and 512 own tokens, Poisson 30 to 60 requests/s, twelve engines",
            (PROFILES["bloom-176b-h100x8"],) * 12,
            _few_groups,
        ),
    ]


def main() -> None:
    """Run what is not kept, and make the page."""
    folder = data_folder()
    if folder is None:
        sys.exit("needs public traces: set STEELYARD_DATA to their folder")
    text = (
        f"# Routing policies on loads that were held out\n\n{describe()}; commit {commit()}.\n"
        f"No constant of the default policy was chosen on these. In SLO: first token within "
        f"{OBJECTIVE.ttft_s:g} s and\n{OBJECTIVE.tpot_s * 1e3:g} ms a token. Read as "
        "[routing.md](routing.md). Made by `python -m benchmarks.routing_held_out`.\n"
    )
    for case in cases(folder):
        text += section(
            case, {name: [kept_or_simulated(name, case, seed) for seed in SEEDS] for name in NAMES}
        )
    RESULTS.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
