"""Which jobs are accepted: those that can be kept in a journal, shown in a table and started on any node.

Asked where a job is written and again at the service's door, so no client can hand in one that a node
chokes on; not when a journal is read, for what was accepted once stays accepted.
"""

from collections.abc import Iterable

from steelyard.jobs.amounts import number_of
from steelyard.model.errors import ConfigError
from steelyard.model.job_specification import AMOUNTS, JobSpecification
from steelyard.model.resources import RESOURCE_NAMES

MAX_NAME_CHARACTERS = 200
MAX_KEY_CHARACTERS = 500
MAX_WHOLE_NUMBER = 2**53  # what every reader of JSON keeps exactly


def check_job(job: JobSpecification) -> None:
    """Raises ConfigError with what is wrong, with which value, and what to do."""
    for name, text in (("name", job.name), ("user", job.user), ("tenant", job.tenant)):
        if len(text) > MAX_NAME_CHARACTERS or not text.isprintable():
            raise ConfigError(
                f"{name} is {_short(text)}: use at most {MAX_NAME_CHARACTERS} printable characters"
            )
    _check_amounts(job)
    _check_whole_numbers(job)
    for name, text in _texts(job):
        if "\0" in text or not _is_utf8(text):
            raise ConfigError(f"{name} holds {_short(text)}: it must be UTF-8 text without zero bytes")
    for environment in (job.environment, *job.task_environments):
        for variable in environment:
            if not variable or "=" in variable:
                raise ConfigError(
                    f"environment has a variable {variable!r}: a name is not empty, and without '='"
                )


def check_key(key: str) -> None:
    """Raises ConfigError for a key that is no key."""
    if len(key) > MAX_KEY_CHARACTERS or not _is_utf8(key):
        raise ConfigError(f"key is {_short(key)}: use at most {MAX_KEY_CHARACTERS} characters of UTF-8 text")


def printable_name(text: str) -> str:
    """A name that nobody wrote, such as a program's, as one that is accepted."""
    return "".join(each if each.isprintable() else "?" for each in text)[:MAX_NAME_CHARACTERS]


def _check_amounts(job: JobSpecification) -> None:
    amounts = [(name, getattr(job.demand, name)) for name in RESOURCE_NAMES]
    amounts += [(name, getattr(job, name)) for name in AMOUNTS]
    amounts += [("deadline_s", job.deadline_s or 0.0)]
    amounts += [(f"retry.{name}", getattr(job.retry, name)) for name in ("first_delay_s", "max_delay_s")]
    amounts += [(f"data of {place!r}", amount) for place, amount in job.data_bytes.items()]
    for name, amount in amounts:
        number_of(amount, name)


def _check_whole_numbers(job: JobSpecification) -> None:
    numbers = (
        ("priority", job.priority, -MAX_WHOLE_NUMBER, MAX_WHOLE_NUMBER),
        ("nice", job.nice, -20, 19),
        ("max_parallel", job.max_parallel, 0, MAX_WHOLE_NUMBER),
        ("retry.max_retries", job.retry.max_retries, 0, MAX_WHOLE_NUMBER),
        ("retry.max_losses", job.retry.max_losses, 0, MAX_WHOLE_NUMBER),
        *(("retry.no_retry_exit_codes", code, -255, 255) for code in job.retry.no_retry_exit_codes),
    )
    for name, number, least, most in numbers:
        if not least <= number <= most:
            raise ConfigError(f"{name} is {number}: it must be in {least}..{most}")


def _texts(job: JobSpecification) -> Iterable[tuple[str, str]]:
    """All texts that a node or a journal is handed, each with what it is."""
    for name in ("command", "reduce_command", "after", "nodes", "forbidden_nodes", "gpu_models"):
        yield from ((name, each) for each in getattr(job, name))
    for name in ("keys", "affinity_keys", "anti_affinity_keys"):
        yield from (("labels, near or apart_from", each) for each in getattr(job, name))
    for name in ("name", "user", "tenant", "working_directory", "checkpoint_directory"):
        yield name, getattr(job, name)
    yield "backup", job.backup_node_id
    for name, pairs in (("environment", job.environment), ("node_labels", job.node_labels)):
        yield from ((name, text) for pair in pairs.items() for text in pair)
    yield from (("data", place) for place in job.data_bytes)
    for own in job.task_environments:
        yield from (("environment", text) for pair in own.items() for text in pair)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(text: str) -> str:
    return f"{text[:40]!r}" + (f" and {len(text) - 40} more characters" if len(text) > 40 else "")
