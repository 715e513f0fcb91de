"""Tenants: both limits or neither, over all workers and through reloads, and what they are told."""

import json

import pytest

from steelyard.config.access import ModelLimitOptions, TenantOptions
from steelyard.gateway import refusals
from steelyard.gateway.tenants import Tenant, build_tenants, subjects
from steelyard.policies.admission.verdicts import LimitState, Refusal
from steelyard.runtime.limit_page import SLOTS, LimitPage, SlotTable

SEARCH = TenantOptions(
    name="search",
    requests_per_min=100,
    max_concurrent=3,
    priority="interactive",
    models=("small", "large"),
    model_limits=(ModelLimitOptions(model="large", requests_per_min=2, tokens_per_min=1000),),
)
ADS = TenantOptions(name="ads", cache_group="shared")


def in_worker(page: LimitPage, number: int, *options: TenantOptions) -> dict[str, Tenant]:
    rows = [page.row(each) for each in range(page.rows)]
    slots = SlotTable().assign(subjects(options))
    return build_tenants(options, slots, rows[number], rows[:number] + rows[number + 1 :], now_s=1.0)


def test_a_model_limit_refuses_and_leaves_the_tenants_own_untouched() -> None:
    page = LimitPage.create(1)
    search = in_worker(page, 0, SEARCH, ADS)["search"]
    assert search.admit("large", 10, 1.0) is None
    assert search.admit("large", 10, 1.0) is None
    refusal = search.admit("large", 10, 1.0)
    assert refusal is not None
    assert refusal.limited == "requests"
    assert refusal.retry_after_s == pytest.approx(30.0)
    assert search.state("small", 1.0).requests_left == 98
    assert search.admit("small", 10, 1.0) is None


def test_concurrency_holds_over_workers_and_a_dead_worker_holds_nothing() -> None:
    page = LimitPage.create(2)
    here, there = (in_worker(page, number, SEARCH)["search"] for number in (0, 1))
    assert all(there.admit("small", 1, 1.0) is None for _ in range(3))
    for limiter in there.unpublished:
        limiter.publish()
    assert here.admit("small", 1, 1.0) is not None
    page.end_row(1, [0, 1])
    assert here.admit("small", 1, 2.0) is None


def test_a_row_is_published_once_however_much_changed() -> None:
    page = LimitPage.create(1)
    search = in_worker(page, 0, SEARCH)["search"]
    for _ in range(3):
        assert search.admit("large" if _ else "small", 10, 1.0) is None
    assert len(search.unpublished) == 2  # its own limits, and those on the model
    assert page.totals(0)[0] == 0
    for limiter in search.unpublished:
        limiter.publish()
    assert page.totals(0)[0] == 3


@pytest.mark.parametrize("now_s", [1.0, 1.5, 20.0, 100.0])
def test_lines_kept_written_say_the_same(now_s: float) -> None:
    search = in_worker(LimitPage.create(1), 0, SEARCH)["search"]
    for model in ("large", "small"):
        assert search.admit(model, 999, 1.0) is None
        assert search.lines(model, now_s) == refusals.limit_lines(search.state(model, now_s))


def test_models_of_others_are_not_there() -> None:
    page = LimitPage.create(1)
    tenants = in_worker(page, 0, SEARCH, ADS)
    assert tenants["search"].usable(["huge", "large", "small"]) == ["large", "small"]
    assert tenants["ads"].usable(["huge", "large"]) == ["huge", "large"]
    assert not tenants["search"].may_use("huge")
    assert not tenants["search"].may_use("")
    assert tenants["ads"].may_use("")
    assert tenants["search"].cache_key != tenants["ads"].cache_key


def test_a_tenant_called_as_a_group_shares_no_cache_with_it() -> None:
    page = LimitPage.create(1)
    tenants = in_worker(
        page, 0, ADS, TenantOptions(name="shared"), TenantOptions(name="b", cache_group="shared")
    )
    assert tenants["ads"].cache_key == tenants["b"].cache_key
    assert tenants["shared"].cache_key != tenants["ads"].cache_key


def test_slots_stay_the_same_over_reloads_and_are_used_again_at_last() -> None:
    table = SlotTable()
    first = table.assign(["a", "b", "c"])
    assert table.assign(["c", "new", "a"]) == {"c": first["c"], "new": 3, "a": first["a"]}
    many = table.assign([f"t{index}" for index in range(SLOTS)])
    assert len(set(many.values())) == SLOTS
    with pytest.raises(ValueError, match="over 4096"):
        table.assign([f"u{index}" for index in range(SLOTS + 1)])


NOTHING_LEFT = LimitState(0, 0, 0.0, 1000, 0, 60.0)


def error_of(refused: refusals.Refused) -> dict[str, object]:
    said: dict[str, object] = json.loads(refused.body)["error"]
    return said


def test_refusals_are_openais() -> None:
    refused = refusals.limit_met(Refusal("tokens", 1000, 12.2), NOTHING_LEFT)
    assert refused.status == 429
    assert refused.lines.startswith(b"Retry-After: 13\r\nx-ratelimit-limit-tokens: 1000\r\n")
    assert error_of(refused)["code"] == "rate_limit_exceeded"
    says = "the limit of 1000 tokens a minute is reached: try again in 13 seconds"
    assert error_of(refused)["message"] == says
    assert refusals.WRONG_KEY.status == 401
    assert error_of(refusals.WRONG_KEY)["code"] == "invalid_api_key"
    refused = refusals.wrong_model("m" * 1000)
    assert (refused.status, error_of(refused)["param"]) == (404, "model")
    assert len(str(error_of(refused)["message"])) < 300
    assert refusals.no_place(True, 0.0)[0] == 429
    assert refusals.no_place(False, 7.5)[::2] == (503, b"Retry-After: 8\r\n")


def test_what_is_left_is_told_as_openai_does() -> None:
    lines = refusals.limit_lines(LimitState(60, 59, 0.25, 6000, 10, 361.0)).decode().split("\r\n")
    assert lines == [
        "x-ratelimit-limit-requests: 60",
        "x-ratelimit-remaining-requests: 59",
        "x-ratelimit-reset-requests: 250ms",
        "x-ratelimit-limit-tokens: 6000",
        "x-ratelimit-remaining-tokens: 10",
        "x-ratelimit-reset-tokens: 6m1s",
        "",
    ]
    assert refusals.limit_lines(LimitState(0, 0, 0, 0, 0, 0)) == b""
