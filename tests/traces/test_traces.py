"""Traces, recorded and generated."""

from pathlib import Path
from random import Random

import pytest

from steelyard.model.errors import TraceError
from steelyard.model.metrics import percentile
from steelyard.traces.generator import generate_conversation
from steelyard.traces.readers import AZURE_CONVERSATION, data_folder, read_trace


def test_reads_plain_files_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("arrival_s,prompt_tokens,output_tokens\n5,10,2\n3,20,0\n")
    requests = read_trace(path)
    assert [(each.arrival_s, each.prompt_tokens, each.output_tokens) for each in requests] == [
        (0, 20, 1),
        (2, 10, 2),
    ]


def test_reads_mooncake_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"timestamp": 1500, "input_length": 700, "output_length": 5, "hash_ids": [0, 1]}\n')
    (request,) = read_trace(path)
    assert (request.prompt_tokens, request.prefix_blocks, request.block_tokens) == (700, (0, 1), 512)


NOT_TRACES = ["", "x,y\n1,2\n", '{"arrival_s": 1}\n', "arrival_s,prompt_tokens,output_tokens\na,b,c\n"]


@pytest.mark.parametrize("text", NOT_TRACES)
def test_what_is_no_trace_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t"
    path.write_text(text)
    with pytest.raises(TraceError, match=r"t (is no trace|cannot be read|holds no)"):
        read_trace(path)


def test_generated_load_has_the_fitted_medians_and_rate() -> None:
    requests = generate_conversation(5_000, Random(1))
    assert requests == generate_conversation(5_000, Random(1))
    # Medians of 5,000 draws lie within one step of the table; the rate within 5 sigma, which is 8 %.
    assert 984 <= percentile([each.prompt_tokens for each in requests], 0.5) <= 1045
    assert 5.0 < 5_000 / requests[-1].arrival_s < 6.1


@pytest.mark.trace
def test_reads_the_azure_trace() -> None:
    folder = data_folder()
    if folder is None:
        pytest.skip("needs public traces: set STEELYARD_DATA to their folder")
    requests = read_trace(folder / AZURE_CONVERSATION)
    assert len(requests) == 19_366
    assert 3_501 < requests[-1].arrival_s < 3_503
