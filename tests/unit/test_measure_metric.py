"""The metric language and its limits."""

from __future__ import annotations

import pytest

from seatrial.measure import metric
from seatrial.measure.metric import Scale, Unit, comparable_across


@pytest.mark.parametrize(
    ("text", "canonical", "threshold"),
    [
        ('p50 of "token"', 'p50 of "token"', 0.05),
        ("p95 of token", 'p95 of "token"', 0.10),
        ('  p99  of   "manifest by  tag" ', 'p99 of "manifest by  tag"', 0.20),
        ('P95 of "token" within 5%', 'p95 of "token"', 0.05),
        ('p95 of "a within 3% of b"', 'p95 of "a within 3% of b"', 0.10),
        ("throughput", "throughput", 0.03),
        ("throughput of pull within 2.5 %", 'throughput of "pull"', 0.025),
        ("failures", "failures", 0.001),
        ('failures of "token" within 0.5%', 'failures of "token"', 0.005),
        ("cpu per request", "cpu per request", 0.05),
        ("cpu per request of auth within 2%", "cpu per request of auth", 0.02),
        ("unreclaimable memory", "unreclaimable memory", 0.03),
        ("unreclaimable memory of auth", "unreclaimable memory of auth", 0.03),
        ("peak unreclaimable of auth", "peak unreclaimable of auth", 0.03),
        ("peak unreclaimable memory", "peak unreclaimable", 0.03),
        ("stall ratio", "stall ratio", 0.01),
        ("cpu per flow of auth", "cpu per flow of auth", 0.05),
        ("mean stall_ratio of play", 'stall ratio of "play"', 0.01),
        ("p95 startup_s of play", 'p95 startup_s of "play"', 0.10),
        ("p95 startup_s", "p95 startup_s", 0.10),
        ("startup", "p95 startup_s", 0.10),
        ("Startup of play within 5%", 'p95 startup_s of "play"', 0.05),
        ("seek latency of play", 'p95 seek_s of "play"', 0.10),
        ("abandoned", "abandoned", 0.01),
        ("mean abandoned_ratio of play", 'abandoned of "play"', 0.01),
        ("waste of play", 'waste of "play"', 0.01),
        ('MAX stalls_count of "play all" within 5%', 'max stalls_count of "play all"', 0.05),
        ("mean received_bytes of play", 'mean received_bytes of "play"', 0.05),
        ("p90 stall_ratio of play", 'p90 stall_ratio of "play"', 0.01),
    ],
)
def test_what_can_be_written(text: str, canonical: str, threshold: float) -> None:
    """Each form has one canonical text, which is read as itself, and a threshold."""
    found = metric.parse(text)
    assert (found.text, found.threshold) == (canonical, threshold)
    assert metric.parse(canonical).text == canonical


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p95 startup of play", "'startup' has no unit: .*_s, _ratio, _bytes or _count is expected"),
        ("mean startup_ms of play", "'startup_ms' has no unit"),
        ("p75 startup_s of play", "mean, p50, p90, p95, p99 or max is expected"),
        ("seek latncy", "did you mean seek latency?"),
        ("", "is not a metric"),
        ("p95", "does not say of what"),
        ("p90 of x", "p90 is not measured; p50, p95 or p99 is expected"),
        ("trouhgput", "did you mean throughput?"),
        ("cpu of auth", "is not a metric"),
        ("memory of auth", "is not a metric"),
        ("p95 of manifest by tag", "a name of several words stands in quotes"),
        ('p95 of ""', "the name between the quotes is missing"),
        ('p95 of "token', "the name between the quotes is missing"),
        ("p95 of token within 0%", "a threshold of 0% can't be judged"),
        ("p95 of token within -5%", "can't be judged"),
        ("p95 of token within nan%", "can't be judged"),
        ("p95 of token within five%", "is not a number of per cent"),
        ("p95 of token < 5ms", "is not a metric|stands in quotes"),
    ],
)
def test_what_can_not_be_written(text: str, said: str) -> None:
    """The message says what is expected, and what may have been meant."""
    with pytest.raises(ValueError, match=said):
        metric.parse(text)


def test_directions_and_scales() -> None:
    """Only throughput is better higher; only shares are subtracted."""
    found = [metric.parse(one) for one in ("throughput", "failures", "stall ratio", "cpu per request", "p50 of x")]
    assert [one.worse for one in found] == ["lower", "higher", "higher", "higher", "higher"]
    assert [one.scale is Scale.DIFFERENCE for one in found] == [False, True, True, False, False]
    assert [one.unit for one in found] == [Unit.PER_S, Unit.SHARE, Unit.SHARE, Unit.NS, Unit.NS]


@pytest.mark.parametrize(
    ("fact", "text", "survived"),
    [
        ("host", "cpu per request", True),
        ("host", "peak unreclaimable of auth", True),
        ("host", "p95 of token", False),
        ("host", "failures", False),
        ("engine", "cpu per request", False),
        ("engine", "unreclaimable memory", True),
        ("load", "throughput", False),
        ("load", "p95 of token", True),
        ("schema", "cpu per request", False),
    ],
)
def test_what_survives_a_different_environment(fact: str, text: str, *, survived: bool) -> None:
    """Across hosts processor time and memory can be compared, latency can't; an unknown fact leaves nothing."""
    assert comparable_across(metric.parse(text), fact) is survived


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.5e9, Unit.NS, "1.5 s"),
        (123_456_789, Unit.NS, "123.5 ms"),
        (12_000, Unit.NS, "12 µs"),
        (5, Unit.NS, "5 ns"),
        (0, Unit.NS, "0 ns"),
        (3 * 2**30, Unit.BYTES, "3 GiB"),
        (512, Unit.BYTES, "512 B"),
        (0.00123, Unit.SHARE, "0.123 %"),
        (123.456, Unit.PER_S, "123.5/s"),
        (2.0, Unit.COUNT, "2"),
        (1234.5, Unit.COUNT, "1,234"),
    ],
)
def test_values_as_people_read_them(value: float, unit: Unit, text: str) -> None:
    """Three or four figures and the largest unit that fits."""
    assert metric.limit_text(value, unit) == text
