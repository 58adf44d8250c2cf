"""When a warm-up has lasted long enough."""

from __future__ import annotations

import pytest

from seatrial.load.driver import Warmup, WarmupSpans, medians_agree
from seatrial.wire.histogram import bucket

S = 1_000_000_000


@pytest.mark.parametrize(
    ("medians_ns", "expected"),
    [
        ([], False),
        ([100], False),
        ([100, 105], True),
        ([100, 106], False),
        ([106, 100], False),
        ([100, 95], True),
        ([300, 100, 101], True),
        ([100, 101, 300], False),
        ([None, None], False),
        ([100, None], False),
    ],
)
def test_two_medians_have_to_agree_within_five_percent(medians_ns: list[int | None], *, expected: bool) -> None:
    """Only the last two count; a span without a success says nothing."""
    assert medians_agree(medians_ns) is expected


def _told(latencies_ms: list[float], begin_ns: int = 1000) -> tuple[WarmupSpans, list[int]]:
    """Tell one latency a second, from the first second on; return the seconds at which it was steady."""
    spans, found = WarmupSpans(begin_ns), []
    for second, latency_ms in enumerate(latencies_ms, start=1):
        if spans.take(begin_ns + second * S, {bucket(round(latency_ms * 1e6)): 10}):
            found.append(second)
    return spans, found


def test_latency_that_falls_and_then_stays_is_steady_at_the_end_of_the_second_equal_span() -> None:
    """Ten seconds of falling, then the same: the spans up to 15 s and up to 20 s are the first to agree."""
    _, found = _told([20, 19, 18, 17, 16, 12, 11, 10, 9, 8, *[5.0] * 10])

    assert found == [20]


def test_even_latency_is_steady_after_two_spans() -> None:
    """It can't be known earlier than ten seconds."""
    spans, found = _told([5.0] * 11)

    assert found == [10]
    assert len(spans.medians_ns) == 2


def test_a_gap_leaves_spans_without_a_median() -> None:
    """A stack that answers nothing for a while is not steady, however even the rest was."""
    spans = WarmupSpans(0)
    spans.take(4 * S, {bucket(5_000_000): 10})

    assert not spans.take(21 * S, {bucket(5_000_000): 10})
    assert [one is None for one in spans.medians_ns] == [False, True, True, True]


def test_a_limit_that_was_reached_is_told_with_its_numbers() -> None:
    """The note names the limit and the last two medians."""
    warmed = Warmup(stable=False, after_s=60.0, medians_ns=(9_000_000, 5_000_000, 7_000_000))

    assert warmed.text() == (
        "after 60 s the median latency still changed by more than 5% from one span of 5 s to the next; "
        "the last ones: 5.00 ms and 7.00 ms"
    )
