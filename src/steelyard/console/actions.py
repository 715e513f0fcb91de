"""What the pages' buttons do. Each is recorded before it is done, as on the admin port."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from steelyard.console.watch import Watch
from steelyard.model.errors import BadRequest

Fields = dict[str, str]
MAX_VALUE = 200  # characters: names are far shorter, and the audit log must be able to keep them whole


@dataclass(frozen=True, slots=True)
class Action:
    """One button. fields: what it must come with. says: what is told when it is done."""

    fields: tuple[str, ...]
    do: Callable[[Watch, Fields, str], Awaitable[object]]
    says: str


def _on_replica(action: str) -> Callable[[Watch, Fields, str], Awaitable[object]]:
    async def do(watch: Watch, fields: Fields, who: str) -> object:
        return await watch.gateway.change_replica(fields["replica"], action, who)

    return do


def _on_jobs(op: str, *names: str, **constants: object) -> Callable[[Watch, Fields, str], Awaitable[object]]:
    async def do(watch: Watch, fields: Fields, who: str) -> object:
        values = {name: fields[name] for name in names}
        if long := [name for name, value in values.items() if len(value) > MAX_VALUE]:
            raise BadRequest(f"{op} takes a {long[0]} of at most {MAX_VALUE} characters")
        what = f"POST /console/jobs/{op} " + " ".join(
            f"{name}={quote(str(value), safe='')}" for name, value in {**values, **constants}.items()
        )
        try:
            return await watch.gateway.recorded(
                who, what, lambda: watch.jobs.order(op, **values, **constants)
            )
        finally:
            watch.jobs.forget()

    return do


ACTIONS: dict[str, Action] = {
    "drain-replica": Action(("replica",), _on_replica("drain"), "{replica} takes no new requests"),
    "restore-replica": Action(("replica",), _on_replica("restore"), "{replica} takes requests again"),
    "pause-job": Action(("job",), _on_jobs("pause", "job"), "{job} is asked to stop, and waits"),
    "resume-job": Action(("job",), _on_jobs("resume", "job"), "{job} goes on"),
    "cancel-job": Action(("job",), _on_jobs("cancel", "job"), "{job} is asked to leave for good"),
    "move-task": Action(("task", "node"), _on_jobs("move", "task", "node"), "{task} moves to {node}"),
    "drain-node": Action(("node",), _on_jobs("drain", "node"), "{node} takes no new tasks"),
    "restore-node": Action(("node",), _on_jobs("drain", "node", undo=True), "{node} takes tasks again"),
}


async def perform(watch: Watch, name: str, fields: Fields, who: str) -> str:
    """Do it; a sentence for people. Raises BadRequest, or another SteelyardError with the reason."""
    action = ACTIONS.get(name)
    if action is None:
        raise BadRequest(f"no action {name[:50]!r}: there are {', '.join(ACTIONS)}", http_status=404)
    for field in action.fields:
        if not fields.get(field):
            raise BadRequest(f"{name} needs {field}")
    await action.do(watch, fields, who)
    return action.says.format_map(fields)
