"""Load read from metrics pages as the engines write them."""

import pytest

from steelyard.emulator.server import EmulatedEngine
from steelyard.engines.dialects import EngineLoad, read_load
from steelyard.engines.profiles import PROFILES

VLLM = """# HELP vllm:num_requests_running Requests in the batch.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a {b} 7"} 3.0
vllm:num_requests_waiting{engine="0",model_name="a {b} 7"} 2.0 1700000000000
vllm:num_requests_waiting_by_reason{reason="capacity"} 9.0
"""


@pytest.mark.parametrize(
    ("page", "load"),
    [
        (VLLM + 'vllm:kv_cache_usage_perc{engine="0"} 0.25\n', ("vllm", 3, 2, 0.25)),
        (VLLM + 'vllm:gpu_cache_usage_perc{engine="0"} 0.5\n', ("vllm", 3, 2, 0.5)),
        (VLLM, ("vllm", 3, 2, None)),
        (
            'sglang:num_running_reqs{tp_rank="0"} 4\nsglang:num_queue_reqs{tp_rank="0"} 1\n'
            'sglang:token_usage{tp_rank="0"} 0.28\n',
            ("sglang", 4, 1, 0.28),
        ),
        ("llamacpp:requests_processing 1\nllamacpp:requests_deferred 4\n", ("llama.cpp", 1, 4, None)),
    ],
)
def test_each_engines_page_is_read(page: str, load: tuple[str, int, int, float | None]) -> None:
    dialect, running, waiting, used = load
    assert read_load(page) == EngineLoad(
        dialect=dialect, running_requests=running, waiting_requests=waiting, kv_used_fraction=used
    )


def test_counts_of_several_ranks_add_up_and_the_fullest_cache_counts() -> None:
    page = "".join(
        f'vllm:num_requests_running{{engine="{rank}"}} {rank + 1}\n'
        f'vllm:kv_cache_usage_perc{{engine="{rank}"}} 0.{rank + 1}\n'
        for rank in range(2)
    )
    load = read_load(page)
    assert load is not None
    assert (load.running_requests, load.waiting_requests, load.kv_used_fraction) == (3, None, 0.2)


@pytest.mark.parametrize(
    ("page", "tokens"),
    [
        ('vllm:cache_config_info{block_size="16",num_gpu_blocks="1000",engine="0"} 1.0\n' * 2, 32_000),
        ('vllm:cache_config_info{mamba_block_size="32",num_gpu_blocks="10",block_size="16"} 1.0\n', 160),
        ('vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n', None),
        ('sglang:num_running_reqs 1\nsglang:max_total_num_tokens{tp_rank="0"} 471258.0\n', None),
    ],
)
def test_the_size_of_a_cache_is_read_where_it_is_told(page: str, tokens: int | None) -> None:
    load = read_load("vllm:num_requests_running 1\n" + page)
    assert load is not None
    assert load.kv_capacity_tokens == tokens


def test_sglang_tells_the_size_of_its_cache_in_tokens() -> None:
    load = read_load('sglang:num_running_reqs 1\nsglang:max_total_num_tokens{tp_rank="0"} 471258.0\n')
    assert load is not None
    assert load.kv_capacity_tokens == 471_258


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "many", ""])
def test_a_value_that_is_no_count_is_unknown(value: str) -> None:
    load = read_load(f"llamacpp:requests_processing {value}\nllamacpp:requests_deferred 4\n")
    assert load is not None
    assert (load.running_requests, load.waiting_requests) == (None, 4)


@pytest.mark.parametrize("page", ["", "up 1\n", "<html>busy</html>", "vllm:kv_cache_usage_perc 0.3\n"])
def test_a_page_without_a_known_load_is_none(page: str) -> None:
    assert read_load(page) is None


def test_the_emulated_engine_speaks_vllms_dialect() -> None:
    page = EmulatedEngine(PROFILES["llama2-70b-h100x4"], 'a "b" } 9', 1.0).metrics().decode()
    expected = EngineLoad(
        dialect="vllm",
        running_requests=0,
        waiting_requests=0,
        kv_used_fraction=0.0,
        kv_capacity_tokens=450_000 // 256 * 256,
    )
    assert read_load(page) == expected
