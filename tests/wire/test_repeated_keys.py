"""Bodies that two readers could read differently."""

import pytest

from steelyard.wire.repeated_keys import is_repeated


@pytest.mark.parametrize(
    ("body", "repeated"),
    [
        (b'{"model": "a"}', False),
        (b'{"model": "a", "prompt": "my model, \\"model\\""}', False),
        (b'{"model": "a", "tools": [{"model": 1}, {"model": 2}]}', False),
        (b'{"model": "a", "model": "b"}', True),
        (b'{"model": "a", "\\u006dodel": "b"}', True),
        (b'{"mod\\u0065l": "a", "m\\u006fdel": "b"}', True),
        (b'{"x": [{"model": 1, "model": 2}]}', True),
        (b"[" * 100_000 + b"model model", True),
        (b"model model", True),
    ],
)
def test_keys_that_stand_twice_are_seen(body: bytes, repeated: bool) -> None:
    assert is_repeated(body, "model") is repeated
