"""Reading and writing W3C Trace Context."""

import pytest

from steelyard.gateway.trace_context import TraceIds, TraceParent, parse, write

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = TraceParent(int(TRACE, 16), int(SPAN, 16), 1)


def test_reads_what_it_writes() -> None:
    line = write(PARENT.trace_id, PARENT.span_id, 1)
    assert line == f"traceparent: 00-{TRACE}-{SPAN}-01\r\n".encode()
    assert parse(line.partition(b": ")[2]) == PARENT


@pytest.mark.parametrize(
    "value",
    [
        "", "00", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01", f"00-{TRACE}-{SPAN}-0x", f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01", f"00_{TRACE}_{SPAN}_01", f"01-{TRACE}-{SPAN}-01more",
    ],
)  # fmt: skip
def test_what_is_not_valid_is_as_good_as_none(value: str) -> None:
    assert parse(value.encode()) is None


def test_a_later_version_may_say_more() -> None:
    assert parse(f"cc-{TRACE}-{SPAN}-01-what-the-future-holds".encode()) == PARENT
    assert parse(f"  00-{TRACE}-{SPAN}-00\t".encode()) == TraceParent(PARENT.trace_id, PARENT.span_id, 0)


def test_ids_are_those_of_their_request_and_of_no_other() -> None:
    ids, others = TraceIds(b"a", 1.0), TraceIds(b"b", 1.0)
    made = {
        ids.trace_id(b"r1", 1.0),
        ids.trace_id(b"r1", 2.0),
        ids.trace_id(b"r2", 1.0),
        others.trace_id(b"r1", 1.0),
    }
    assert len(made) == 4
    assert ids.trace_id(b"r1", 1.0) == ids.trace_id(b"r1", 1.0)
    assert ids.span_id(b"r1", 1.0, b"attempt 1") != ids.span_id(b"r1", 1.0, b"attempt 2")
    assert all(0 < each < 1 << 128 for each in made)


def test_samples_a_share_of_the_traces_that_begin_here_and_obeys_the_others() -> None:
    ids = TraceIds(b"secret", 0.25)
    traces = [ids.trace_id(b"%d" % number, 0.0) for number in range(4_000)]
    # 4,000 draws of a quarter: five standard deviations are 137.
    assert abs(sum(ids.sampled(None, trace) for trace in traces) - 1_000) < 137
    assert all(ids.sampled(PARENT, trace) for trace in traces)
    assert not any(ids.sampled(TraceParent(1, 1, 0), trace) for trace in traces)
    assert TraceIds(b"", 1.0).sampled(None, (1 << 128) - 1)
    assert not TraceIds(b"", 0.0).sampled(None, 1)
