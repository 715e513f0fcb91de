"""What is said of a name that there is not."""

import pytest

from steelyard.model.errors import nearest_or_known


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("memry", "did you mean 'memory'?"),
        ("cpu", "did you mean 'cpu_cores'?"),
        ("x", "known are memory, cpu_cores"),
        ("", "known are memory, cpu_cores"),
    ],
)
def test_the_nearest_name_is_said_or_one_that_begins_so_or_all(name: str, says: str) -> None:
    assert nearest_or_known(name, ("memory", "cpu_cores")) == says
