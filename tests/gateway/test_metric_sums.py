"""Totals do not fall when a reload replaces those who counted."""

from steelyard.gateway.metric_sums import counts, total, with_past

TEXT = b"""# HELP a_total Things.
# TYPE a_total counter
a_total{pool="x"} 3
a_total{pool="y"} 0
# TYPE up gauge
up{replica="r"} 1
# TYPE took histogram
took_bucket{le="1"} 2
took_sum 1.5
took_count 2
"""


def test_counters_and_histograms_are_added_and_gauges_are_not() -> None:
    past = total([counts(TEXT), {'a_total{pool="x"}': 1, 'a_total{pool="gone"}': 9}])
    text = with_past(TEXT, past).decode()
    assert 'a_total{pool="x"} 7\n' in text
    assert 'a_total{pool="y"} 0\n' in text
    assert 'up{replica="r"} 1\n' in text
    assert 'took_bucket{le="1"} 4\n' in text
    assert "took_sum 3\n" in text
    assert "gone" not in text


def test_without_a_past_the_text_is_the_same() -> None:
    assert with_past(TEXT, {}) is TEXT
