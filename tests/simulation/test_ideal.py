"""The hit share of a cache without end."""

import pytest

from steelyard.simulation.ideal import ideal_hit_share
from steelyard.traces.readers import data_folder, read_trace
from steelyard.traces.request import TraceRequest


def request(*blocks: int) -> TraceRequest:
    return TraceRequest(arrival_s=0.0, prompt_tokens=512, output_tokens=1, prefix_blocks=blocks)


def test_a_hit_is_a_block_after_hits_only() -> None:
    assert ideal_hit_share([request(1, 2, 3), request(1, 2, 9), request(8, 3)]) == pytest.approx(2 / 8)
    assert ideal_hit_share([request()]) == 0.0


@pytest.mark.trace
def test_the_mooncake_trace_has_its_known_share() -> None:
    folder = data_folder()
    if folder is None:
        pytest.skip("needs public traces: set STEELYARD_DATA to their folder")
    requests = read_trace(folder / "llm" / "mooncake_conversation_trace.jsonl.gz")
    assert len(requests) == 12_031
    assert ideal_hit_share(requests) == pytest.approx(0.3664, abs=5e-5)
