"""Random clusters, jobs and histories for property tests of the planner."""

from hypothesis import strategies as st

from steelyard.traces.job import TraceJob

GPUS = st.sampled_from([1, 1, 1, 2, 4, 8, 12, 16, 24])


@st.composite
def trace_jobs(draw: st.DrawFn, most: int = 14, most_gpus: int = 16) -> list[TraceJob]:
    """Jobs that arrive over a while and fit a cluster of `most_gpus`."""
    count = draw(st.integers(1, most))
    return [
        TraceJob(
            job_id=f"j{at:02d}",
            submitted_s=float(draw(st.integers(0, 60))),
            duration_s=float(draw(st.integers(1, 50))),
            gpus=min(draw(GPUS), most_gpus),
            tenant=draw(st.sampled_from(["red", "blue"])),
            user=draw(st.sampled_from(["ann", "bob"])),
            priority=draw(st.integers(0, 2)),
        )
        for at in range(count)
    ]
