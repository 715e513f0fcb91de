"""What is recorded of an action, and when."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from steelyard.gateway.admin_pages import AdminPages, Gateway
from steelyard.gateway.generation import Generation
from steelyard.model.errors import BadRequest, ConfigError, OutcomeUnknown, SteelyardError
from steelyard.runtime.admin_exchange import AdminRequest
from steelyard.runtime.audit_log import verify
from steelyard.wire.http1_head import parse_request_head


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


class Starting:
    """A gateway whose workers do not serve yet."""

    ready = False

    @property
    def generation(self) -> Generation:
        raise ConfigError("the gateway is still starting: wait a moment")

    def status(self) -> dict[str, object]:
        return {"workers": self.generation.workers}


@pytest.mark.parametrize("path", ["/readyz", "/status", "/replicas", "/picks"])
def test_a_gateway_that_starts_says_so_and_is_not_ready(path: str) -> None:
    pages = AdminPages(cast(Gateway, Starting()))
    head = parse_request_head(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    with pytest.raises(BadRequest, match="still starting") as raised:
        asyncio.run(pages.answer(AdminRequest(head, "me")))
    assert raised.value.http_status == 503
