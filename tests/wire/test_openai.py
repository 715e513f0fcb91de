"""OpenAI bodies: the model, the prompt's size and its beginning."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.model.errors import BadRequest
from steelyard.wire.openai import BLOCK_BYTES, prefix_hashes, read_inference, read_stream_usage, read_usage


def chat(*contents: str, **more: object) -> bytes:
    messages = [{"role": "user", "content": content} for content in contents]
    return json.dumps({"model": "m", "messages": messages, **more}).encode()


def test_reads_what_routing_needs() -> None:
    said = read_inference(chat("x" * 4000, stream=True, max_tokens=7, user="ann"))
    assert (said.model, said.streams, said.output_tokens, said.affinity_key) == ("m", True, 7, "ann")
    assert 1000 <= said.prompt_tokens <= 1020
    assert read_inference(chat("x", user="ann"), affinity_key="/path").affinity_key == "/path"


def test_prompts_that_begin_alike_share_their_first_hashes() -> None:
    one = read_inference(chat("s" * 3000, "a" * 3000)).prefix_hashes
    two = read_inference(chat("s" * 3000, "b" * 3000)).prefix_hashes
    shared = sum(a == b for a, b in zip(one, two, strict=True))
    assert 2 <= shared < len(one)
    assert one[:shared] == two[:shared]


def test_two_tenants_share_no_hash() -> None:
    body = chat("s" * 3000)
    assert not set(read_inference(body, "a").prefix_hashes) & set(read_inference(body, "b").prefix_hashes)


@given(st.binary(max_size=3 * BLOCK_BYTES), st.binary(max_size=BLOCK_BYTES))
def test_hashes_are_chained_so_a_longer_prompt_keeps_those_of_its_beginning(head: bytes, tail: bytes) -> None:
    whole_blocks = len(head) // BLOCK_BYTES
    assert prefix_hashes(head + tail, "k")[:whole_blocks] == prefix_hashes(head, "k")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"{}x", b'{"model": 3}', b"\xff", b"[" * 100_000])
def test_refuses_a_body_that_is_no_object_with_a_model(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_inference(body)


@pytest.mark.parametrize(
    "field", ['"stream": "yes"', '"max_tokens": "many"', '"user": 7', '"max_tokens": 1e400']
)
def test_a_field_of_another_type_is_the_engines_to_judge(field: str) -> None:
    assert read_inference(f'{{"model": "m", {field}}}'.encode()).model == "m"


def test_reads_usage_from_a_body_and_from_the_end_of_a_stream() -> None:
    details = b'"prompt_tokens_details": {"cached_tokens": 8}'
    usage = b'{"usage": {"prompt_tokens": 9, "completion_tokens": 4, ' + details + b"}}"
    whole = read_usage(usage)
    streamed = read_stream_usage(b'data: {"usage": null}\n\ndata: ' + usage + b"\n\ndata: [DONE]\n\n")
    assert whole is not None
    assert whole == streamed
    assert whole.completion_tokens == 4
    assert read_stream_usage(b'data: {"choices": []}\n\n') is None
