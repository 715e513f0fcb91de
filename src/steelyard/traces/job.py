"""One job of a cluster's trace: when, for how long, how wide, and whose."""

import msgspec


class TraceJob(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A recorded job.

    submitted_s: since the beginning of the trace. duration_s: as recorded; a policy must not see it before
    the job has ended. gpus: 0 for a job that wants cores only. deadline_s: on the trace's clock, or None.
    """

    job_id: str
    submitted_s: float
    duration_s: float
    gpus: int = 0
    cpu_cores: float = 0.0
    tenant: str = ""
    user: str = ""
    name: str = ""
    deadline_s: float | None = None
    priority: int = 0
