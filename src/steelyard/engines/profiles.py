"""Measured engines: how long a step of continuous batching takes, and how much a KV cache holds.

Fitted to the Splitwise measurements (Mutinifni/splitwise-sim, data/perf_model.csv, MIT; Patel et al.,
ISCA 2024) by `tools/fit_profiles.py`: least squares of relative error, prompt time as a + b · (prompt
tokens × batch), time per token as c + d · batch. Of those, b, c and d make a profile; a is smaller than
one step and is covered by it. Median relative error of the fit: prompt 6–19 %, token 1.4–1.9 %. KV
capacity is derived: device memory less weights (2 bytes a parameter) and a tenth, over bytes a token
(llama2-70b: 2 · 80 layers · 8 heads · 128 · 2 B).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProfile:
    """What the batching model needs to know of an engine.

    step_s: an iteration with an empty batch; sequence_s: more for each running sequence;
    prefill_token_s: more for each prompt token processed in it.
    """

    name: str
    summary: str
    step_s: float
    sequence_s: float
    prefill_token_s: float
    kv_tokens: int
    max_batch: int = 256
    chunk_tokens: int = 2048

    @property
    def prefill_tokens_per_s(self) -> float:
        """Prompt tokens a second in full chunks with nothing else running."""
        return self.chunk_tokens / (self.step_s + self.chunk_tokens * self.prefill_token_s)


def _profile(
    name: str, summary: str, step_ms: float, sequence_ms: float, prefill_ms: float, kv: int
) -> EngineProfile:
    return EngineProfile(
        name=name,
        summary=summary,
        step_s=step_ms / 1e3,
        sequence_s=sequence_ms / 1e3,
        prefill_token_s=prefill_ms / 1e3,
        kv_tokens=kv,
    )


PROFILES: dict[str, EngineProfile] = {
    profile.name: profile
    for profile in (
        _profile("llama2-70b-a100x4", "Llama 2 70B on four A100 80 GB", 43.881, 0.381, 0.2398, 450_000),
        _profile("llama2-70b-a100x8", "Llama 2 70B on eight A100 80 GB", 44.503, 0.369, 0.1544, 1_330_000),
        _profile("llama2-70b-h100x4", "Llama 2 70B on four H100 80 GB", 28.985, 0.315, 0.0942, 450_000),
        _profile("llama2-70b-h100x8", "Llama 2 70B on eight H100 80 GB", 30.001, 0.299, 0.0715, 1_330_000),
        # BLOOM has no grouped heads: 2 · 70 layers · 14,336 · 2 B a token.
        _profile("bloom-176b-a100x8", "BLOOM 176B on eight A100 80 GB", 48.481, 0.662, 0.2983, 55_000),
        _profile("bloom-176b-h100x8", "BLOOM 176B on eight H100 80 GB", 35.753, 0.394, 0.1314, 55_000),
    )
}
