"""When a warm-up has lasted long enough, and which hosts load may go to."""

from __future__ import annotations

import pytest

from seatrial.errors import UsageError
from seatrial.load.driver import Warmup, WarmupSpans, allowed_hosts, check_target, medians_agree
from seatrial.wire.histogram import bucket

S = 1_000_000_000
STACK = ("172.18.0.4",)
STAGING = ("staging.example",)


def test_two_medians_have_to_agree_within_five_percent() -> None:
    """Only the last two count; a span without a success has none."""
    medians_ns: dict[tuple[int | None, ...], bool] = {(100, 105): True, (100, 95): True, (300, 100, 101): True}
    medians_ns |= dict.fromkeys([(), (100,), (100, 106), (106, 100), (100, 101, 300)], False)
    medians_ns |= dict.fromkeys([(None, None), (100, None)], False)

    assert {values: medians_agree(list(values)) for values in medians_ns} == medians_ns


@pytest.mark.parametrize(
    ("latencies_ms", "stable_at"),
    [([20, 19, 18, 17, 16, 12, 11, 10, 9, 8, *[5.0] * 10], [20]), ([5.0] * 11, [10])],
    ids=["falling", "even"],
)
def test_latency_is_stable_at_the_end_of_the_second_equal_span(
    latencies_ms: list[float], stable_at: list[int]
) -> None:
    """One latency a second; the earliest possible end is after ten seconds."""
    spans = WarmupSpans(1000)

    assert stable_at == [
        second
        for second, latency_ms in enumerate(latencies_ms, start=1)
        if spans.take(1000 + second * S, {bucket(round(latency_ms * 1e6)): 10})
    ]
    assert len(spans.medians_ns) == stable_at[0] // 5


def test_a_gap_leaves_spans_without_a_median() -> None:
    """A stack that answers nothing for a while is not stable, however even the rest is."""
    spans = WarmupSpans(0)
    spans.take(4 * S, {bucket(5_000_000): 10})

    assert not spans.take(21 * S, {bucket(5_000_000): 10})
    assert [median is None for median in spans.medians_ns] == [False, True, True, True]


def test_the_note_of_a_warm_up_that_did_not_become_stable_has_its_numbers() -> None:
    """The limit and the last two medians."""
    warmup = Warmup(stable=False, after_s=60.0, medians_ns=(9_000_000, 5_000_000, 7_000_000))

    assert warmup.text() == (
        "after 60 s the median latency still changed by more than 5% from one span of 5 s to the next; "
        "the last ones: 5.00 ms and 7.00 ms"
    )


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:5000", "http://localhost", "http://[::1]:80", "http://172.18.0.4"]
)
def test_load_may_go_to_loopback_and_the_stack(url: str) -> None:
    """They belong to this machine."""
    check_target(url, allowed_hosts(STACK, (), ()))


def test_load_may_go_to_another_host_only_if_it_is_allowed_and_confirmed() -> None:
    """The scenario alone does not allow it, and neither does the command line; a prefix of loopback is a name."""
    check_target("https://staging.example/v2/", allowed_hosts(STACK, STAGING, STAGING))
    for allowed, confirmed in (((), ()), (STAGING, ()), ((), STAGING)):
        for host in ("staging.example", "127.0.0.1.example"):
            with pytest.raises(UsageError, match=f"load is not sent to {host}"):
                check_target(f"http://{host}/", allowed_hosts(STACK, allowed, confirmed))
