"""Rates, buckets of durations, details of flows, and texts without secrets."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.wire.histogram import bucket, middle_ns, percentile_ns
from seatrial.wire.rates import Rate, Stretch, parse, parse_lines, shares
from seatrial.wire.redaction import Redactor, masked, masked_url
from seatrial.wire.streams import detail_ending, detail_numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50/s", [(math.inf, 50, 50)]),
        ("90/min", [(math.inf, 1.5, 1.5)]),
        ("3600/h", [(math.inf, 1, 1)]),
        ("10/s for 10s, 50/s for 1m", [(10, 10, 10), (60, 50, 50)]),
        ("10/s to 100/s for 60s", [(60, 10, 100)]),
        ("0/s for 250ms, 7.5/s", [(0.25, 0, 0), (math.inf, 7.5, 7.5)]),
    ],
)
def test_a_schedule_is_read(text: str, expected: list[tuple[float, float, float]]) -> None:
    """Rates, steps and ramps, in each unit."""
    assert parse(text) == tuple(Stretch(*stretch) for stretch in expected)


@pytest.mark.parametrize(
    "text",
    [
        *("", "50", "fast", "-5/s", "50/day", "10/s, 20/s", "10/s to 20/s", "10/s for 0s", "0/s", "1/s for ten"),
        *("100001/s", "1/s to 100001/s for 5s", "6000060/min"),
    ],
)
def test_a_text_that_is_no_schedule_is_refused(text: str) -> None:
    """No unit, no length where one is needed, no arrivals at all, or more than 100,000 a second."""
    with pytest.raises(ValueError, match=r"rate|long|lasts|duration|arrivals"):
        parse(text)


def test_a_schedule_is_written_as_it_is_read() -> None:
    """The text in a report is one that a scenario takes."""
    text = "10/s for 10s, 10/s to 50/s for 20s, 50/s"
    assert Rate(parse(text)).text() == text
    assert Rate(parse("5/s"), poisson=True) == Rate.steady(5.0, poisson=True)


def test_the_rate_at_a_moment() -> None:
    """Within a ramp, at a step, before the beginning and after the end."""
    rate = Rate(parse("0/s to 10/s for 10s, 4/s for 5s"))
    assert [rate.at(second) for second in (-1, 5, 10, 99)] == [0, 5, 4, 4]
    assert rate.first_per_s == 0


def test_a_schedule_goes_through_json() -> None:
    """Also a stretch that holds for ever, which JSON has no number for."""
    rate = Rate(parse("1/s to 5/s for 3s, 7/s"), poisson=True)
    assert rate.to_json() == {"poisson": True, "stretches": [[3.0, 1.0, 5.0], [None, 7.0, 7.0]]}
    assert Rate.from_json(json.loads(json.dumps({**rate.to_json(), "seed": 1}))) == rate


def test_a_file_gives_steps() -> None:
    """From each second on its rate holds; a heading, comments and blank lines are skipped."""
    lines = ["second,rate", "0,10", "# lunch", "", "60,2.5"]
    assert parse_lines(lines) == (Stretch(60, 10, 10), Stretch(math.inf, 2.5, 2.5))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["0,10", "5"], "line 2"),
        (["0,10", "0,5"], "line 2"),
        (["3,10"], "line 1"),
        (["0,-1"], "line 1"),
        (["0,inf"], "line 1"),
        (["0,0"], "above zero"),
        ([], "above zero"),
        (["0,10", "1," + "9" * 131_073], "line 2"),
        (["0,100000", "1,100000.5"], "line 2: .*highest rate"),
    ],
)
def test_a_file_that_is_no_schedule_is_refused_by_its_line(lines: list[str], words: str) -> None:
    """So that the line can be found among thousands."""
    with pytest.raises(ValueError, match=words):
        parse_lines(lines)


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 50), max_size=6))
def test_shares_fill_the_unit_interval(users: dict[str, int]) -> None:
    """Side by side, from 0 to 1, each as long as its part of the users; equal parts where there are none."""
    parts, total = shares(users), sum(users.values())
    ends = list(parts.values())
    assert [0.0, *(high for _, high in ends)] == [*(low for low, _ in ends), 1.0 if users else 0.0]
    for name, (low, high) in parts.items():
        assert high - low == pytest.approx(users[name] / total if total else 1 / len(users))


@given(st.integers(0, 10**13), st.integers(0, 10**6))
def test_a_buckets_middle_is_near_every_value_in_it(value_ns: int, more_ns: int) -> None:
    """At most 0.8 %, the error of a percentile in a report; a longer duration is never in a lower bucket."""
    assert abs(middle_ns(bucket(value_ns)) - value_ns) <= 0.008 * value_ns
    assert bucket(middle_ns(bucket(value_ns))) == bucket(value_ns) <= bucket(value_ns + more_ns)


def test_no_bucket_is_left_out() -> None:
    """Neighbouring values are in the same bucket or the next."""
    numbers = [bucket(value_ns) for value_ns in range(10_000)]
    assert {after - before for before, after in pairwise(numbers)} == {0, 1}
    assert bucket(-5) == 0


@pytest.mark.parametrize(("percent", "expected_ns"), [(0, 10), (50, 20), (75, 20), (76, 40), (100, 40)])
def test_percentiles_are_nearest_rank(percent: float, expected_ns: int) -> None:
    """Four values: 10, 20, 20, 40."""
    assert percentile_ns({bucket(10): 1, bucket(40): 1, bucket(20): 2}, percent) == expected_ns
    assert percentile_ns({}, percent) is None


@pytest.mark.parametrize(
    ("key", "ending"),
    [
        ("startup_s", "_s"),
        ("stall_ratio", "_ratio"),
        ("received_bytes", "_bytes"),
        ("stalls_count", "_count"),
        *((key, None) for key in ("layers", "startup_ms", "_s", "x-y_s", "2_s")),
    ],
)
def test_the_end_of_a_key_names_its_unit(key: str, ending: str | None) -> None:
    """A detail with any other key is no metric, and can't be written as one."""
    assert detail_ending(key) == ending


def test_only_finite_numbers_are_measurements() -> None:
    """Not words, truth values, infinities, nor keys without a unit."""
    numbers = {"a_s": 1, "d_s": float("nan"), "f_s": float("inf"), "layers": 3}
    assert detail_numbers({**numbers, "b_s": "1", "c_s": True, "e_s": None}) == {"a_s": 1.0}


@pytest.mark.parametrize(
    ("mask", "text", "without_secrets"),
    [
        (masked_url, "/search?q=boat&page=2", "/search?q=boat&page=2"),
        (masked_url, "/layer?X-Amz-Signature=0a1b&n=1", "/layer?X-Amz-Signature=...&n=1"),
        (masked_url, "/login?user=me&access_token=abc#top", "/login?user=me&access_token=...#top"),
        (masked_url, "http://me:word@host/x", "http://host/x"),
        (masked, "GET      /item?page=2&token=TOPSECRET      10", "GET      /item?page=2&token=...      10"),
        (masked, 'url = "http://me:word@host/x?Sig=0a1b", mail', 'url = "http://host/x?Sig=...", mail'),
        (masked, "mail me@home? the key = 7\n", "mail me@home? the key = 7\n"),
    ],
)
def test_labels_and_logs_hold_no_secret(mask: Callable[[str], str], text: str, without_secrets: str) -> None:
    """Locust names a request after its whole URL; the text around a URL in a log stays."""
    assert mask(text) == without_secrets


@pytest.mark.parametrize(
    ("settings", "text", "clean"),
    [
        ({"PASSWORD": "a/b c&d"}, "a/b c&d a%2Fb%20c%26d a%2Fb+c%26d", "*** *** ***"),
        ({"A": "open", "B": "open-sesame"}, "say open-sesame", "say ***"),
        ({"PORT": "80", "ON": "yes"}, "80 yes", "80 yes"),
        (
            {"A": "open"},
            '[warn] "GET /signed/a.mp4?user=me&expires=9&signature=q_a-9 HTTP/1.1", upstream: "http://10.0.0.1/a;k=1"',
            '[warn] "GET /signed/a.mp4?user=me&expires=9&signature=... HTTP/1.1", upstream: "http://10.0.0.1/a;k=1"',
        ),
        ({}, "redis://:word@cache/0", "redis://cache/0"),
    ],
    ids=["in an address", "the longer one first", "short settings are no secrets", "a signed URL", "a password"],
)
def test_the_values_of_settings_are_masked(settings: dict[str, str], text: str, clean: str) -> None:
    """In texts and in lines of a log."""
    assert Redactor(settings).text(text) == clean
    assert Redactor(settings).line(text.encode()) == clean.encode()
