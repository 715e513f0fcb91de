"""What people are shown of jobs, tasks and nodes: plain values, ready for JSON."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from steelyard.jobs.contract import log_path
from steelyard.jobs.executor import NodeReport
from steelyard.jobs.service import JobsService
from steelyard.model.job_record import HOLDS_A_PLACE, WAITS, JobRecord, NodeRecord, TaskRecord, TaskState
from steelyard.model.metrics import balance_degree, utilisation
from steelyard.model.resources import RESOURCE_NAMES
from steelyard.scheduling.planning import FORMER_NODE

View = dict[str, Any]

EXPLAINED = 20  # tasks of a job whose waiting is looked into: each costs a trial on the node table


def job_row(service: JobsService, job: JobRecord) -> View:
    """One line of `steelyard jobs`."""
    tasks = service.state.tasks_of(job.job_id)
    state = service.state.state_of(job.job_id)
    held = dict.fromkeys(task.node_id for task in tasks if task.node_id)
    now_s = service.now_s()
    return {
        "job": job.job_id,
        "name": job.specification.name,
        "user": job.specification.user,
        "tenant": job.specification.tenant,
        "state": str(state),
        "tasks": len(tasks),
        "done": sum(task.state is TaskState.DONE for task in tasks),
        "nodes": list(held),
        "priority": job.specification.priority,
        "submitted_wall_s": job.submitted_wall_s,
        "ran_s": round(max(_ran_s(task, now_s) for task in tasks), 3),
        "reason": next(_because(service, task) for task in tasks if task.state is state),
    }


def _because(service: JobsService, task: TaskRecord) -> str:
    """Why it is so; of one that waits, what the last round of planning said."""
    wait = service.planning.last_wait_of(task) if task.state is TaskState.QUEUED else None
    return wait.sentence if wait is not None else task.reason


def tenant_rows(service: JobsService) -> list[View]:
    """What each tenant is promised and holds. Those without a quota are shown while they have jobs."""
    state, quotas = service.state, service.options.quotas
    counts: dict[str, Counter[str]] = {name: Counter() for name in quotas}
    for each in (*HOLDS_A_PLACE, *WAITS):
        for task_id in state.by_state[each]:
            tenant = state.jobs[state.tasks[task_id].job_id].specification.tenant
            counts.setdefault(tenant, Counter())["waiting" if each in WAITS else "placed"] += 1
    held = service.planning.held_by_tenant()
    return [
        {
            "tenant": tenant,
            "quota": {name: getattr(quotas[tenant].nominal, name) for name in quotas[tenant].limited}
            if tenant in quotas
            else {},
            "borrow": tenant not in quotas or quotas[tenant].borrow,
            "held": dict(held.get(tenant, {})),
            "tasks_placed": count["placed"],
            "tasks_waiting": count["waiting"],
        }
        for tenant, count in sorted(counts.items())
    ]


def task_view(service: JobsService, task: TaskRecord, explained: bool = True) -> View:
    """One task, with why it waits."""
    asks = explained and task.state is TaskState.QUEUED
    wait = service.planning.wait_of(task, service.now_s()) if asks else None
    view: View = {
        "task": task.task_id,
        "state": str(task.state),
        "reason": task.reason,
        "node": task.node_id,
        "devices": list(task.seat.devices) if task.seat is not None else [],
        "target": task.target.node_id if task.target is not None else "",
        "kept_on": task.kept.node_id if task.kept is not None else "",
        "epoch": task.epoch,
        "failures": task.failures,
        "losses": task.losses,
        "moves": task.moves,
        "exit_code": task.exit_code,
        "ran_s": round(_ran_s(task, service.now_s()), 3),
        "log": str(log_path(service.folder, task)),
        "reduce": task.is_reduce,
    }
    if wait is not None:
        feasible_in_s = wait.feasible_s - service.now_s() if wait.feasible_s is not None else None
        view["waits"] = {
            "why": wait.sentence,
            "reason": wait.reason,
            "resource": wait.resource,
            "missing": wait.missing,
            "behind": wait.behind,
            "feasible_in_s": round(max(0.0, feasible_in_s), 1) if feasible_in_s is not None else None,
        }
    elif task.state is TaskState.BACKING_OFF:
        left_s = max(0.0, task.not_before_s - service.now_s())
        view["waits"] = {"why": f"backs off for another {left_s:.1f} s", "reason": "back-off"}
    return view


def job_view(service: JobsService, job: JobRecord) -> View:
    """All of `steelyard job ID`."""
    wanted = job.specification
    tasks = service.state.tasks_of(job.job_id)
    return {
        **job_row(service, job),
        "command": list(wanted.command),
        "gang": wanted.gang,
        "after": list(wanted.after),
        "backup": wanted.backup_node_id,
        "time_limit_s": wanted.time_limit_s,
        "keep_claim_s": wanted.keep_claim_s,
        "demand": {name: getattr(wanted.demand, name) for name in RESOURCE_NAMES},
        "task_views": [task_view(service, task, at < EXPLAINED) for at, task in enumerate(tasks[:1000])],
        "timeline": [
            {
                "wall_s": wall_s,
                "at_s": round(each.at_s, 3),
                "task": each.task_id,
                "before": each.before,
                "after": each.after,
                "node": each.node_id,
                "epoch": each.epoch,
                "reason": each.reason,
            }
            for wall_s, each in service.journal.timeline(job.job_id)
        ],
    }


def node_row(service: JobsService, node_id: str) -> View:
    """One line of `steelyard nodes`."""
    report = service.watch.reports[node_id]
    load = service.watch.loads.get(node_id)
    decided = service.state.node(node_id)
    used = load.telemetry.used if load is not None else None
    return {
        "node": node_id,
        "state": _node_state(decided, report),
        "reason": decided.lost or decided.cordoned or (FORMER_NODE if report.is_former else ""),
        "labels": dict(report.labels),
        "tasks": [*service.state.on_node.get(node_id, ())],
        "capacity": {name: getattr(report.capacity, name) for name in RESOURCE_NAMES},
        "used": {name: getattr(used, name) for name in RESOURCE_NAMES} if used is not None else {},
        "reserved": _reserved(service, node_id),
        "hot": list(load.hot) if load is not None else [],
        "age_s": round(_age_s(service, node_id), 2),
    }


def _node_state(decided: NodeRecord, report: NodeReport) -> str:
    if decided.lost:
        return "lost"
    if decided.cordoned:
        return "drained"
    if report.is_former:
        return "former"
    return "spare" if report.spare else "up"


def _age_s(service: JobsService, node_id: str) -> float:
    return max(0.0, service.watch.clock() - service.watch.reports[node_id].heard_at_s)


def _reserved(service: JobsService, node_id: str) -> Mapping[str, float]:
    table = service.planning.table
    if node_id not in table.row_of:
        return {}
    row = table.row_of[node_id]
    return {
        "cpu_cores": (table.cpu_total[row] - table.cpu_free[row]) / 1000,
        "memory_bytes": table.memory_total[row] - table.memory_free[row],
        "gpus": len(table.devices[row]) - table.gpu_free[row] / 1000,
    }


def cluster_view(service: JobsService) -> View:
    """All of `steelyard top`: nodes, what runs, and the seed's two measures of the CPU load."""
    nodes = [node_row(service, node_id) for node_id in service.watch.reports]
    loads = [
        row["used"]["cpu_cores"] / row["capacity"]["cpu_cores"]
        for row in nodes
        if row["used"] and row["state"] != "lost" and row["capacity"]["cpu_cores"]
    ]
    states = Counter(str(task.state) for task in service.state.tasks.values())
    return {
        "nodes": nodes,
        "states": dict(states),
        "utilisation": utilisation(loads),
        "balance_degree": balance_degree(loads),
        "running": [
            task_view(service, service.state.tasks[task_id])
            for task_id in [*service.state.by_state[TaskState.RUNNING]][:50]
        ],
    }


def _ran_s(task: TaskRecord, now_s: float) -> float:
    return task.ran_s + (now_s - task.started_s if task.started_s is not None else 0.0)
