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
        (
            "weight = 2.0",
            "weight = 0.0",
            r"line 12: weight of http://127.0.0.1:8000 is 0.0: it must be above 0",
        ),
        (
            "least-requests",
            "least-request",
            r"line 7: unknown policy 'least-request': did you mean 'least-requests'\?",
        ),
        ("http://127.0.0.1:8000", "ftp://127.0.0.1:8000", r"it must look like http://HOST:PORT"),
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


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("timeouts = { connect_timeout_s = -1 }", r"timeouts.connect_timeout_s is -1.0: it must be above 0"),
        ("health = { interval_s = 0 }", r"health.interval_s is 0.0: it must be above 0"),
        ("health = { interval_s = inf }", r"health.interval_s is inf"),
        ("health = { timeout_s = nan }", r"health.timeout_s is nan"),
        ("health = { unhealthy_after = 0 }", r"health.unhealthy_after is 0"),
        ('health = { path = "health" }', r"health.path is 'health': it must begin with a slash"),
        ('health = { path = "/a b" }', r"hold no blank"),
        ("retries = { budget_fraction = 2 }", r"retries.budget_fraction is 2.0: it is a share"),
        ("retries = { max_retries = -1 }", r"retries.max_retries is -1"),
        ("outlier = { max_ejected_fraction = 7 }", r"outlier.max_ejected_fraction is 7.0"),
        ("upstream = { idle_timeout_s = 0 }", r"upstream.idle_timeout_s is 0.0"),
        ("panic_fraction = 7", r"pools.panic_fraction is 7.0: it is a share, from 0 to 1"),
        ("slow_start_s = -1", r"pools.slow_start_s is -1.0"),
    ],
)
def test_refuses_values_that_could_not_work(tmp_path: Path, table: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_file(written(tmp_path, f'[[pools]]\n{table}\n[[pools.replicas]]\nurl = "http://127.0.0.1:1"\n'))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            'listen = "127.0.0.1:9090"\n' + GOOD.replace('listen = "127.0.0.1:0"', ""),
            r"listen and admin are both",
        ),
        (
            GOOD + '[[routes]]\npath_prefix = "/v1/"\npool = "cache"\n',
            r"two routes have one host and path_prefix",
        ),
        (GOOD + "[limits]\nmax_head_bytes = -5\n", r"limits.max_head_bytes is -5"),
    ],
)
def test_refuses_what_contradicts_itself(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_file(written(tmp_path, text))


TWICE = """
[[pools]]
name = "a"
timeouts = { connect_timeout_s = 1 }
replicas = [
  { url = "http://127.0.0.1:1", weight = 1.0 },
  # of the second
  { url = "http://127.0.0.1:2", weight = 1.0 },
]

[pools.health]
# a comment with path = "x"
path = "/health"

[[pools]]
name = "b"

[[pools.replicas]]
url = "http://127.0.0.1:3"
weight = 1.0

[pools.health]
path = "/health"

[[routes]]
pool = "a"

[[routes]]
path_prefix = "/b/"
pool = "b"
"""


@pytest.mark.parametrize(
    ("number", "line", "says"),
    [
        (8, '  { url = "http://127.0.0.1:2", weight = -1.0 },', r"weight of http://127.0.0.1:2 is -1.0"),
        (8, '  { url = "http://127.0.0.1:2", wight = 1.0 },', r"unknown key 'pools.replicas.wight'"),
        (13, 'path = "health"', r"health.path is 'health'"),
        (20, 'weight = "1"', r"pools\[1\].replicas\[0\].weight: Expected `float`"),
        (23, 'path = "health"', r"health.path is 'health'"),
        (26, 'pool = "c"', r"route / leads to pool 'c'"),
        (29, 'path_prefix = "b"', r"path_prefix is 'b'"),
    ],
)
def test_the_line_is_that_of_the_key_in_its_own_table(
    tmp_path: Path, number: int, line: str, says: str
) -> None:
    lines = TWICE.splitlines()
    lines[number - 1] = line
    with pytest.raises(ConfigError, match=rf"line {number}: {says}"):
        load_file(written(tmp_path, "\n".join(lines)))


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        load_file(tmp_path / "none.toml")


def test_engines_on_the_command_line_need_no_file() -> None:
    configuration = from_engines(["http://a:1", "http://b:2"], policy="random", workers=1)
    assert [route.path_prefix for route in configuration.routes] == ["/"]
    assert configuration.pools[0].policy == "random"
    with pytest.raises(ConfigError, match=r"there is no engine"):
        from_engines([])
