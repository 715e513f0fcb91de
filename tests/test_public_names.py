"""What programs may import from `steelyard`, frozen here."""

import subprocess
import sys

import steelyard


def test_the_public_names_are_these() -> None:
    assert sorted(steelyard.__all__) == ["Checkpoints", "JobsClient", "SubmittedJob", "__version__", "submit"]
    assert all(hasattr(steelyard, name) for name in steelyard.__all__)
    assert not hasattr(steelyard, "nonsense")


def test_importing_the_package_loads_none_of_it() -> None:
    code = "import steelyard, sys; print([each for each in sys.modules if each.startswith('steelyard.')])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "['steelyard.version']"
