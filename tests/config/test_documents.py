"""The reference page and the examples are current."""

from pathlib import Path

import pytest
from tools.write_configuration_page import TABLES, keys_of, page

from steelyard.config.load import load_file

ROOT = Path(__file__).parents[2]


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == page()


def test_every_key_has_a_text_and_a_default_or_is_a_table() -> None:
    keys = {f"{name}.{key.name}": key for name, options in TABLES for key in keys_of(options)}
    assert [name for name, key in keys.items() if not key.text] == []
    shown = [key.default for key in keys.values()]
    assert keys["pools.policy"].default == '"prefix-ttft"'
    assert keys["pools.kind"].default == '"openai"'
    assert all(len(default) < 30 and "(" not in default.removeprefix("()") for default in shown)


GATEWAYS = (
    "fallbacks.toml",
    "caches/caches.toml",
    "inference/inference.toml",
    "high_availability/gateway.toml",
)


@pytest.mark.parametrize("name", GATEWAYS)
def test_every_example_is_good(name: str) -> None:
    assert load_file(ROOT / "examples" / name).pools


def test_no_example_is_left_out() -> None:
    found = [path for path in (ROOT / "examples").rglob("*.toml") if "[[pools]]" in path.read_text("utf-8")]
    assert {str(path.relative_to(ROOT / "examples")) for path in found} == set(GATEWAYS)
