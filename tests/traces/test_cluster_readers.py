"""Readers of nodes and tasks, and generated clusters."""

from pathlib import Path

import pytest

from steelyard.model.errors import TraceError
from steelyard.model.placement_policy import demand_of
from steelyard.traces.cluster_generator import generate_cluster
from steelyard.traces.cluster_readers import (
    OPENB_NODES,
    OPENB_TASKS,
    is_tasks_file,
    read_nodes,
    read_tasks,
    tasks_of_jobs,
)
from steelyard.traces.job import TraceJob
from steelyard.traces.readers import data_folder


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_reads_openb_lines(tmp_path: Path) -> None:
    nodes = read_nodes(write(tmp_path / "n.csv", "sn,cpu_milli,memory_mib,gpu,model", "n0,64000,1024,2,P100"))
    assert (nodes[0].node_id, nodes[0].gpu_model) == ("n0", "P100")
    assert demand_of(nodes[0].capacity).cpu_milli == 64_000
    assert nodes[0].capacity.memory_bytes == 2**30
    head = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec"
    lines = ("a,11400,16384,1,470,T4|G2", "b,88000,0,8,1000,", "c,500,0,0,0,")
    a, b, c = (task.claim for task in read_tasks(write(tmp_path / "t.csv", head, *lines)))
    assert (demand_of(a.demand).share, a.gpu_models) == (470, ("G2", "T4"))
    assert (demand_of(b.demand).devices, demand_of(b.demand).share, b.gpu_models) == (8, 1000, ())
    assert demand_of(c.demand).devices == 0


def test_reads_plain_lines(tmp_path: Path) -> None:
    head = "node_id,cpu_cores,memory_gib,gpus,gpu_model,rack,zone,spare"
    node = read_nodes(write(tmp_path / "n.csv", head, "n0,8,16,2,A,r1,z1,1"))[0]
    assert (node.rack, node.zone, node.spare, node.capacity.gpus) == ("r1", "z1", True, 2)
    path = write(tmp_path / "t.csv", "task_id,cpu_cores,gpus,arrived_s,ended_s", "a,1,0.5,3,9", "b,1,,,")
    first, second = read_tasks(path)
    assert (first.arrived_s, first.ended_s, second.ended_s) == (3, 9, None)
    assert is_tasks_file(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("what,is,this", "1,2,3"), "holds no nodes that are known"),
        (("node_id,cpu_cores", "a,1", "a,2"), "names node 'a' twice"),
        (
            ("node_id,cpu_cores", "a,much"),
            r"line 2: cannot be read: could not convert string to float: 'much'",
        ),
        (("node_id,cpu_cores,gpus", "a,1,1.5"), "has 1.5 GPUs"),
        (("node_id,cpu_cores", "a,nan"), "'a' has an amount that is no finite number"),
        (("node_id,cpu_cores", "a,-1"), "line 2: cannot be read: cpu_cores is -1.0"),
        (("node_id,cpu_cores",), "holds no nodes"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_nodes(write(tmp_path / "n.csv", *lines))


def test_jobs_are_tasks_with_an_end() -> None:
    job = TraceJob(job_id="j", submitted_s=5, duration_s=10, cpu_cores=2)
    (task,) = tasks_of_jobs([job])
    assert (task.arrived_s, task.ended_s, task.claim.demand.cpu_cores) == (5, 15, 2)


def test_generated_clusters_repeat_and_every_task_fits_somewhere() -> None:
    trace = generate_cluster(60, 3)
    assert trace == generate_cluster(60, 3)
    assert trace != generate_cluster(60, 4)
    for task in trace.tasks:
        assert any(
            node.capacity.covers(task.claim.demand)
            for node in trace.nodes
            if not task.claim.gpu_models or node.gpu_model in task.claim.gpu_models
        )
    asked = sum(task.claim.demand.gpus for task in trace.tasks)
    assert trace.capacity <= asked < trace.capacity + 16


@pytest.mark.trace
def test_openb_holds_what_its_paper_says() -> None:
    folder = data_folder()
    if folder is None:
        pytest.skip("no traces: set STEELYARD_DATA to their folder")
    nodes, tasks = read_nodes(folder / OPENB_NODES), read_tasks(folder / OPENB_TASKS)
    assert (len(nodes), sum(node.capacity.gpus for node in nodes)) == (1213, 6212)
    assert len(tasks) == 8152
    assert round(sum(task.claim.demand.gpus for task in tasks), 1) == 6086.8
