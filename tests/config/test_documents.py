"""The reference page and the examples are current."""

from pathlib import Path

import pytest
from tools.write_configuration_page import page

from steelyard.config.load import load_file

ROOT = Path(__file__).parents[2]


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOT / "examples").glob("*.toml"))])
def test_every_example_is_good(name: str) -> None:
    assert load_file(ROOT / "examples" / name).pools
