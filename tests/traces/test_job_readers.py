"""Traces of cluster jobs."""

import gzip
from pathlib import Path

import pytest

from steelyard.model.errors import TraceError
from steelyard.traces.job_readers import (
    CHRONUS_JOBS,
    GAIA_AZURE_JOBS,
    GAIA_PAI_JOBS,
    PHILLY_JOBS,
    PHILLY_NODES,
    read_jobs,
    read_philly,
)
from steelyard.traces.readers import data_folder


def written(tmp_path: Path, text: str, name: str = "jobs.csv") -> Path:
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def test_philly_is_put_in_order_and_counts_from_its_first_job(tmp_path: Path) -> None:
    text = (
        "timestamp,duration,num_gpus,gpu_time,cluster\n"
        "2017-10-09 07:01:55,66.0,1,66.0,11cb48\n2017-10-09 06:13:03,2951.0,8,23608.0,6214e9\n"
    )
    first, second = read_jobs(written(tmp_path, text, "philly.csv.gz"))
    assert (first.submitted_s, first.duration_s, first.gpus, first.tenant) == (0.0, 2951.0, 8, "6214e9")
    assert second.submitted_s == 48 * 60 + 52


def test_chronus_has_deadlines_but_for_best_effort_jobs(tmp_path: Path) -> None:
    text = (
        "job_id,user,num_gpu,submit_time,iterations,model_name,duration,interval,expect_time_list,"
        "expect_value_list,best_effort,job_type\n"
        "0,vc_a,1,50,5530,mobilenet,96,5,159-189,10-8,0,soft\n"
        "1,vc_b,2,60,760,alexnet,106,6,,,1,best\n"
    )
    soft, best = read_jobs(written(tmp_path, text))
    assert (soft.deadline_s, soft.name, soft.user) == (209.0, "mobilenet", "vc_a")
    assert best.deadline_s is None


def test_gaia_in_hours_and_in_seconds(tmp_path: Path) -> None:
    hours = read_jobs(written(tmp_path, "arrival_time,length,cpus\n0.0,0.75,4\n8759.5,19.0,1\n"))
    assert [job.duration_s for job in hours] == [2700.0, 68400.0]
    seconds = read_jobs(written(tmp_path, "arrival_time,length,cpus\n0.0,6302.0,1\n604756.0,1361.0,1\n"))
    assert [(job.submitted_s, job.duration_s, job.cpu_cores) for job in seconds] == [
        (0.0, 6302.0, 1.0),
        (604756.0, 1361.0, 1.0),
    ]


def test_a_plain_table_of_jobs(tmp_path: Path) -> None:
    text = "submitted_s,duration_s,gpus,user,deadline_s\n5,10,2,ann,\n1,20,0,bob,90\n"
    bob, ann = read_jobs(written(tmp_path, text))
    assert (bob.user, bob.deadline_s, ann.gpus, ann.deadline_s) == ("bob", 90.0, 2, None)
    assert read_jobs(written(tmp_path, text), limit=1) == [bob]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n1,2\n", "no trace of jobs that is known"),
        ("submitted_s,duration_s\n", "holds no jobs"),
        ("submitted_s,duration_s\n1,2\nx,3\n", "line 3: cannot be read"),
        ("arrival_time,length,cpus\n1,,2\n", "cannot be read"),
        ("submitted_s,duration_s\n1,nan\n", "duration_s of job-000000 is nan"),
        ("submitted_s,duration_s,gpus\n1,2,-1\n", "gpus of job-000000 is -1"),
        ("a" * 200_000, "is no CSV: field larger than field limit"),
        ("submitted_s,duration_s\n1," + "2" * 200_000, "field larger than field limit"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(TraceError, match=complaint):
        read_jobs(written(tmp_path, text))


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes(b"submitted_s,duration_s\n1,\xff\n")
    with pytest.raises(TraceError, match="is not UTF-8 text, from byte 25 on"):
        read_jobs(path)
    path = written(tmp_path, "submitted_s,duration_s\n1,2\n", "jobs.csv.gz")
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(TraceError, match="is no whole gzip file"):
        read_jobs(path)
    path.write_bytes(b"plain")
    with pytest.raises(TraceError, match="is no whole gzip file"):
        read_jobs(path)


@pytest.mark.trace
@pytest.mark.parametrize(
    ("name", "jobs"),
    [(PHILLY_JOBS, 82_247), (CHRONUS_JOBS, 30_940), (GAIA_PAI_JOBS, 99_998), (GAIA_AZURE_JOBS, 99_988)],
)
def test_reads_the_public_traces_whole(name: str, jobs: int) -> None:
    folder = data_folder()
    if folder is None:
        pytest.skip("needs public traces: set STEELYARD_DATA to their folder")
    read = read_jobs(folder / name)
    assert len(read) == jobs
    assert all(job.duration_s >= 0 for job in read)
    assert read[0].submitted_s >= 0


@pytest.mark.trace
def test_the_window_of_helios_simulation_of_philly_holds_68503_jobs() -> None:
    folder = data_folder()
    if folder is None:
        pytest.skip("needs public traces: set STEELYARD_DATA to their folder")
    read = read_philly(folder / PHILLY_JOBS)
    assert len(read) == 68_503
    assert {job.tenant for job in read} == set(PHILLY_NODES)
