"""What the exit code of every verb means; docs/cli.md says the same to operators."""

from steelyard.model.errors import BadRequest, ConfigError, SteelyardError, TraceError

DONE = 0
FAILED = 1  # it was asked and done, and what came of it is no: degraded, lost, not done
MISTAKE = 2  # a command line, a file or an address that cannot be used; nobody answers there
JOURNAL_LOST = 3  # `steelyard up`: the disk failed under the journal; never tried again by itself
INTERRUPTED = 130  # Ctrl-C, as shells have it

MEANINGS = {
    DONE: "done; for `status`: healthy",
    FAILED: "it was done, and the outcome is bad: a degraded gateway, a lost request, a job that is not done",
    MISTAKE: "bad input: an option, a file or an address that cannot be used, or nobody answers there",
    JOURNAL_LOST: "`up` only: the disk failed under the jobs journal",
    INTERRUPTED: "Ctrl-C",
}


def of(error: SteelyardError) -> int:
    """The exit code for an error that ended a verb."""
    from steelyard.jobs.client import NoService
    from steelyard.jobs.executor import ExecutorError

    mistakes = ConfigError | TraceError | BadRequest | NoService | ExecutorError
    return MISTAKE if isinstance(error, mistakes) else FAILED
