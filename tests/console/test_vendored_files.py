"""Files of others are what THIRD_PARTY.md says they are."""

import hashlib
import re
from pathlib import Path

from steelyard.console.assets import FOLDER

ROOT = Path(__file__).resolve().parent.parent.parent


def test_vendored_files_are_the_published_ones() -> None:
    page = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})`", page, re.MULTILINE))
    assert {ROOT / name for name in named} == set(FOLDER.glob("uPlot*min*"))
    for name, digest in named.items():
        assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == digest, name
    assert (FOLDER / "uPlot.LICENSE.txt").read_text(encoding="utf-8").startswith("The MIT License")
