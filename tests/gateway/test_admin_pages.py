"""What is recorded of an action, and when."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from steelyard.gateway.admin_pages import AdminPages, Gateway
from steelyard.model.errors import BadRequest, ConfigError, OutcomeUnknown, SteelyardError
from steelyard.runtime.audit_log import verify


@pytest.mark.parametrize(
    ("error", "status", "details"),
    [
        (None, 0, ["asked", "done"]),
        (ConfigError("it is full"), 409, ["asked", "refused: it is full"]),
        (OutcomeUnknown("it is silent"), 504, ["asked", "unknown: it is silent"]),
    ],
)
def test_an_action_is_recorded_before_it_is_done_and_how_it_went_after(
    tmp_path: Path, error: SteelyardError | None, status: int, details: list[str]
) -> None:
    pages = AdminPages(cast(Gateway, None))
    log = tmp_path / "audit.jsonl"
    pages.audit_to(str(log))

    async def action() -> None:
        assert verify(log) == 1
        if error is not None:
            raise error

    if error is None:
        asyncio.run(pages.recorded("me", "cancel", action))
    else:
        with pytest.raises(BadRequest) as raised:
            asyncio.run(pages.recorded("me", "cancel", action))
        assert raised.value.http_status == status
    assert [json.loads(line)["detail"] for line in log.read_text().splitlines()] == details
