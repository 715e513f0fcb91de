"""Configurations: what is read, and what a mistake is answered with."""

from pathlib import Path

import pytest

from steelyard.config.load import from_engines, load_file
from steelyard.model.errors import ConfigError

GOOD = """
listen = "127.0.0.1:0"
workers = 2

[[pools]]
name = "llm"
policy = "least-requests"
timeouts = { connect_timeout_s = 2 }

[[pools.replicas]]
url = "http://127.0.0.1:8000"
weight = 2.0

[[pools]]
name = "cache"
kind = "http"
policy = "hash-ring"
hash_on = "path"

[[pools.replicas]]
url = "http://127.0.0.1:9000/sub"

[[routes]]
path_prefix = "/v1/"
pool = "llm"

[[routes]]
path_prefix = "/"
pool = "cache"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "steelyard.toml"
    path.write_text(text)
    return path


def test_reads_a_file(tmp_path: Path) -> None:
    configuration = load_file(written(tmp_path, GOOD))
    llm, cache = configuration.pools
    assert (llm.policy, llm.timeouts.connect_timeout_s, llm.replicas[0].weight) == ("least-requests", 2, 2.0)
    assert (cache.kind, cache.hash_on, cache.replicas[0].name) == ("http", "path", "127.0.0.1:9000/sub")
    assert configuration.workers == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'policy = "least-requests"',
            'polcy = "x"',
            r"line 7: unknown key 'pools.polcy': did you mean 'policy'\?",
        ),
        ("connect_timeout_s = 2", "conect_timeout_s = 2", r"line 8: .*did you mean 'connect_timeout_s'\?"),
        ("weight = 2.0", 'weight = "two"', r"line 12: pools\[0\].replicas\[0\].weight: Expected `float`"),
        ("weight = 2.0", "weight = 0.0", r"weight of http://127.0.0.1:8000 is 0.0: it must be above 0"),
        (
            "least-requests",
            "least-request",
            r"unknown policy 'least-request': did you mean 'least-requests'\?",
        ),
        ("http://127.0.0.1:8000", "https://127.0.0.1:8000", r"it must look like http://HOST:PORT"),
        ("http://127.0.0.1:8000", "http://user:pw@127.0.0.1:8000", r"more than scheme, host, port and path"),
        ("127.0.0.1:0", "127.0.0.1", r"listen is '127.0.0.1': it must be HOST:PORT"),
        ("workers = 2", "workers = 0", r"workers is 0: it must be 1 to 64"),
        ("workers = 2", "workers = ", r"is not valid TOML: .*line 3"),
        ('pool = "cache"', 'pool = "cash"', r"leads to pool 'cash': pools are llm, cache"),
        ("9000/sub", "8000", r"replica '127.0.0.1:8000' is named twice"),
    ],
)
def test_names_every_mistake_with_its_remedy(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=says):
        load_file(written(tmp_path, GOOD.replace(old, new, 1)))


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        load_file(tmp_path / "none.toml")


def test_engines_on_the_command_line_need_no_file() -> None:
    configuration = from_engines(["http://a:1", "http://b:2"], policy="random", workers=1)
    assert [route.path_prefix for route in configuration.routes] == ["/"]
    assert configuration.pools[0].policy == "random"
    with pytest.raises(ConfigError, match=r"there is no engine"):
        from_engines([])
