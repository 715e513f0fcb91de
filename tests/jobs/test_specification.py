"""Jobs as people write them."""

from pathlib import Path
from typing import Any, cast

import pytest

from steelyard.jobs.amounts import bytes_of, seconds_of
from steelyard.jobs.client import JobsClient
from steelyard.jobs.declared_nodes import parse_node, read_nodes
from steelyard.jobs.declared_quotas import read_quotas
from steelyard.jobs.shards import deal_files, deal_keys
from steelyard.jobs.specification import from_table, read_jobs
from steelyard.jobs.submission import submit_file
from steelyard.model.errors import BadRequest, ConfigError


def test_a_file_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text(
        'command = ["python", "train.py"]\ntasks = 4\ngang = true\npriority = 3\ndeadline = "2h"\n'
        'expected_time = "90m"\nsize = "300MB"\nbackup = "B"\ncheckpoint_directory = "checkpoints"\n'
        "[resources]\ncpu_cores = 2\nmemory = \"2GiB\"\ngpus = 1\nnetwork = \"100MB/s\"\n"
        "[environment]\nLR = 0.1\nDEBUG = true\n"
        "[retry]\nmax_retries = 5\nfirst_delay = \"2s\"\n"
    )  # fmt: skip
    (job,) = read_jobs(path)
    assert (job.name, job.tasks, job.gang, job.priority) == ("train", 4, True, 3)
    assert (job.deadline_s, job.expected_time_s, job.size_bytes) == (7200, 5400, 3e8)
    assert (job.demand.cpu_cores, job.demand.memory_bytes, job.demand.gpus) == (2, 2**31, 1)
    assert job.demand.network_bytes_per_s == 1e8
    assert job.environment == {"LR": "0.1", "DEBUG": "1"}
    assert (job.retry.max_retries, job.retry.first_delay_s) == (5, 2.0)
    assert (job.backup_node_id, job.working_directory) == ("B", str(tmp_path))
    assert job.user


def test_shards_over_files_are_dealt_by_size(tmp_path: Path) -> None:
    for name, size in (("a", 50), ("b", 30), ("c", 20), ("d", 40)):
        (tmp_path / f"{name}.csv").write_bytes(b"x" * size)
    job = from_table({"command": "true", "shards": 2, "files": "*.csv"}, tmp_path)
    parts = [each["STEELYARD_SHARD_FILES"].split() for each in job.task_environments]
    assert [[Path(each).stem for each in part] for part in parts] == [["a", "c"], ["b", "d"]]
    assert job.tasks == 2


def test_ranges_of_keys_cover_all_once() -> None:
    parts = [
        (int(each["STEELYARD_SHARD_FIRST"]), int(each["STEELYARD_SHARD_END"])) for each in deal_keys(5, 22, 4)
    ]
    assert [key for first, end in parts for key in range(first, end)] == list(range(5, 22))
    assert max(end - first for first, end in parts) - min(end - first for first, end in parts) <= 1
    assert len(deal_keys(0, 3, 32)) == 3


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"command": "x", "prioritty": 1}, "unknown key 'prioritty': did you mean 'priority'?"),
        ({"command": "x", "resources": {"cpus": 1}}, "unknown key 'cpus'"),
        ({"command": ""}, "the job has no command"),
        ({}, "missing required field `command`"),
        ({"command": "x", "tasks": 0}, "tasks is 0: it must be in 1..100000"),
        ({"command": "x", "resources": {"memory": "2 gigs"}}, "memory is '2 gigs': write"),
        ({"command": "x", "resources": {"gpus": 1.5}}, "gpus is 1.5"),
        ({"command": "x", "resources": {"cpu_cores": -1}}, "cpu_cores is -1"),
        ({"command": "x", "deadline": "soon"}, "deadline is 'soon'"),
        ({"command": "x", "deadline": 0}, "it counts from submission"),
        ({"command": "x", "files": "*"}, "say how many, such as shards = 32"),
        ({"command": "x", "shards": 2}, "shards need either files or keys"),
        ({"command": "x", "shards": 2, "files": "none-*"}, "no file matches none-*"),
        ({"command": "x", "shards": 0, "keys": [0, 9]}, "shards is 0"),
        ({"command": "x", "shards": 2, "keys": [9, 9]}, "the end must be above the first"),
        ({"command": "x", "shards": 2, "keys": [0, 9], "gang": True}, "leave out tasks and gang"),
        ({"command": "x", "tasks": 2, "keep_claim": "5s"}, "keep_claim is for gangs"),
        ({"command": "x", "time_limit": -1}, "time_limit"),
        ({"command": "x", "gang": True, "tasks": 2, "max_parallel": 1}, "max_parallel is for arrays"),
        ({"command": "x", "tasks": "many"}, "Expected `int"),
        ({"command": "x", "resources": {"cpu_cores": float("nan")}}, "cpu_cores is nan: it must be a finite"),
        ({"command": "x", "resources": {"gpus": float("inf")}}, "gpus is inf: it must be a finite number"),
        ({"command": "x", "resources": {"memory": "1e400"}}, "memory is inf: it must be a finite number"),
        ({"command": "x", "grace": float("inf")}, "grace is inf: it must be a finite number"),
        ({"command": "x", "data": {"A": float("nan")}}, "data is nan: it must be a finite number"),
        ({"command": "x", "priority": 10**26}, f"priority is {10**26}: it must be in"),
        ({"command": "x", "nice": 1000}, "nice is 1000: it must be in -20..19"),
        ({"command": "x", "max_parallel": -1}, "max_parallel is -1: it must be in 0.."),
        ({"command": "x", "retry": {"max_retries": -1}}, "retry.max_retries is -1"),
        ({"command": "x", "retry": {"first_delay": float("inf")}}, "first_delay is inf"),
        ({"command": "x", "name": "red\x1b[31m"}, "use at most 200 printable characters"),
        ({"command": "x", "tenant": "y" * 201}, "161 more characters: use at most 200 printable characters"),
        ({"command": ["x", "a\0b"]}, "command holds 'a\\x00b': it must be UTF-8 text without zero bytes"),
        ({"command": ["x", "\udcff"]}, "command holds '\\udcff': it must be UTF-8 text"),
        ({"command": "x", "environment": {"A=B": 1}}, "variable 'A=B': a name is not empty, and without '='"),
        ({"command": "x", "environment": {"": 1}}, "variable '': a name is not empty"),
        ({"command": "x", "environment": {"A": "\0"}}, "environment holds '\\x00'"),
        ({"command": "x", "working_directory": "\0"}, "working_directory holds"),
        ({"command": "x", "after": ["\udc80"]}, "after holds"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_table(table, tmp_path, where="train.toml")
    assert says in str(refused.value)
    assert str(refused.value).startswith("train.toml")


def test_a_program_may_say_nothing_by_none(tmp_path: Path) -> None:
    said = {"command": "x", "deadline": None, "tasks": None, "resources": {"cpu_cores": None, "gpus": 1}}
    job = from_table(said, tmp_path)
    assert (job.deadline_s, job.tasks, job.demand.cpu_cores, job.demand.gpus) == (None, 1, 1.0, 1.0)


def test_a_name_that_nobody_chose_is_made_printable(tmp_path: Path) -> None:
    assert from_table({"command": ["/bin/a\nb" + "c" * 300]}, tmp_path).name == "a?b" + "c" * 197


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("jobs = [1]", "has no jobs: write each as a [[jobs]] table"),
        ("jobs = []", "has no jobs"),
        (
            '[[jobs]]\ncommand = "x"\n[[job]]\ncommand = "x"\n',
            "'job' stands beside [[jobs]]: put it into one",
        ),
        ("", "missing required field `command`"),
        ("a = " + "[" * 5000, "is not valid TOML"),
        (b"\xff\xfe", "it is not UTF-8 text"),
    ],
)
def test_a_file_of_no_jobs_is_named(tmp_path: Path, written: str | bytes, says: str) -> None:
    path = tmp_path / "jobs.toml"
    path.write_bytes(written if isinstance(written, bytes) else written.encode())
    with pytest.raises(ConfigError) as refused:
        read_jobs(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


def test_jobs_of_a_file_that_wait_for_each_other_are_refused_before_one_is_submitted(tmp_path: Path) -> None:
    path = tmp_path / "cycle.toml"
    path.write_text(
        '[[jobs]]\nname = "a"\ncommand = "true"\nafter = ["b"]\n'
        '[[jobs]]\nname = "b"\ncommand = "true"\nafter = ["a"]\n'
    )
    with pytest.raises(ConfigError, match="job 'a' is after 'b', which is not before it in the file"):
        submit_file(JobsClient(tmp_path), path)


def test_a_file_of_which_a_job_is_after_none_that_there_is_is_refused_before_one_is_submitted(
    tmp_path: Path,
) -> None:
    class Asked:
        def ask(self, op: str, job: str) -> None:
            assert op == "job"
            raise BadRequest(f"there is no job {job!r}")

    path = tmp_path / "late.toml"
    path.write_text('[[jobs]]\ncommand = "true"\n[[jobs]]\nname = "b"\ncommand = "true"\nafter = ["77"]\n')
    with pytest.raises(ConfigError, match=r"late\.toml: job 'b' is after '77': there is no job '77'"):
        submit_file(cast(JobsClient, Asked()), path)


def test_amounts() -> None:
    assert bytes_of("1.5GiB", "memory") == 1.5 * 2**30
    assert bytes_of(7, "memory") == 7
    assert seconds_of("250ms", "grace") == 0.25
    with pytest.raises(ConfigError, match="it must be 0 or more"):
        seconds_of(-1, "grace")


def test_a_shard_with_too_many_files_is_refused() -> None:
    with pytest.raises(ConfigError, match="ask for more than 1 shards"):
        deal_files({f"{'x' * 200}{number}": 1.0 for number in range(1000)}, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A:cpu_cores", "'cpu_cores' is not KEY=VALUE"),
        ("A:cores=2", "unknown key 'cores': did you mean 'cpu_cores'?"),
        ("A:cpu_cores=2", "say both cpu_cores (above 0) and memory, or no amount at all"),
        ("A:gpus=8", "node 'A': say both cpu_cores (above 0) and memory, or no amount at all"),
        ("a/b", "a node's name is 'a/b'"),
        ("a\x1bb", "a node's name is 'a\\x1bb'"),
        ("x" * 65, "at most 64"),
        ("A:cpu_cores=nan,memory=1", "node 'A': cpu_cores is nan: it must be a finite number"),
        ("A:cpu_cores=0,memory=1", "cpu_cores (above 0)"),
        ("A:cpu_cores=inf,memory=1", "cpu_cores is inf: it must be a finite number"),
        ("A:cpu_cores=1,memory=1,gpus=-1", "gpus is -1: it must be 0 or more"),
        ("A:sample_interval=nan", "node 'A': sample_interval is 'nan': write"),
        ("A:sample_interval=9h", "sample_interval is 32400.0: it must be in"),
        ("A:cpu_cores=x,memory=1", "Expected `float"),
    ],
)
def test_a_node_declared_wrongly_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_node(text)
    assert says in str(refused.value)


def test_quotas_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "quotas.toml"
    path.write_text(
        '[tenants.research]\ngpus = 8\nmemory = "1GiB"\n[tenants.guests]\ngpus = 0\nborrow = false\n'
    )
    quotas = read_quotas(path)
    assert quotas["research"].limited == ("memory_bytes", "gpus")
    assert (quotas["research"].nominal.gpus, quotas["research"].borrow) == (8, True)
    assert not quotas["guests"].borrow
    path.write_text('[tenants.research]\nnetwork = "100MB/s"\n')
    assert read_quotas(path)["research"].nominal.network_bytes_per_s == 1e8
    path.write_text("[tenants.none]\n")
    with pytest.raises(ConfigError, match="tenant 'none' has no amount"):
        read_quotas(path)
    path.write_text("[tenants.none]\ngpu = 1\n")
    with pytest.raises(
        ConfigError, match=r"unknown field `gpu` - at `\$.tenants\[...\]`: did you mean 'gpus'"
    ):
        read_quotas(path)


def test_nodes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "nodes.toml"
    path.write_text(
        '[[nodes]]\nname = "A"\ncpu_cores = 2\nmemory = "1GiB"\nspare = true\n[[nodes]]\nname = "B"\n'
    )
    first, second = read_nodes(path)
    assert first.capacity is not None
    assert (first.spare, first.capacity.memory_bytes) == (True, 2**30)
    assert second.capacity is None
    path.write_text('[[nodes]]\nname = "A"\n[[nodes]]\nname = "A"\n')
    with pytest.raises(ConfigError, match=r"nodes.toml: two nodes are named 'A'"):
        read_nodes(path)
    path.write_text('[[nodes]]\nname = "A"\ncpu_core = 2\n')
    with pytest.raises(ConfigError, match=r"at `\$.nodes\[0\]`: did you mean 'cpu_cores'\?"):
        read_nodes(path)
    path.write_text('[[nodes]]\nname = "A"\ncpu_cores = 2\n')
    with pytest.raises(ConfigError, match=r"nodes\.toml: node 'A': say both cpu_cores"):
        read_nodes(path)
