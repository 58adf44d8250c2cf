"""What flows report of themselves, as each second's message carries it: by bucket, and never too much."""

from __future__ import annotations

import pytest

from seatrial.user.accounting import DetailCounts
from seatrial.wire.streams import DETAIL_ENDINGS, MOST_DETAILS, detail_ending, detail_numbers


@pytest.mark.parametrize(
    ("key", "ending"),
    [
        ("startup_s", "_s"),
        ("stall_ratio", "_ratio"),
        ("received_bytes", "_bytes"),
        ("stalls_count", "_count"),
        ("layers", None),
        ("startup_ms", None),
        ("_s", None),
        ("x-y_s", None),
        ("2_s", None),
    ],
)
def test_a_key_names_its_unit_at_its_end(key: str, ending: str | None) -> None:
    """Everything else is no metric, and can't be written as one."""
    assert detail_ending(key) == ending
    assert len(DETAIL_ENDINGS) == 4


def test_only_finite_numbers_are_measured() -> None:
    """Words, truth values and what is no number are a flow's own affair."""
    detail = {
        "a_s": 1,
        "b_s": "1",
        "c_s": True,
        "d_s": float("nan"),
        "e_s": None,
        "f_s": float("inf"),
        "layers": 3,
    }
    assert detail_numbers(detail) == {"a_s": 1.0}


def test_a_second_has_the_flows_that_ended_in_it() -> None:
    """By flow, key and bucket; the next one begins anew."""
    counts = DetailCounts()
    for stalls in (0, 2, 2):
        counts.add("play", {"stalls_count": stalls, "codec": "av1"})
    counts.add("login", {"stalls_count": 1})

    assert counts.take() == {"play": {"stalls_count": {0: 1, 2: 2}}, "login": {"stalls_count": {1: 1}}}
    assert counts.take() == {}


def test_a_key_for_each_object_does_not_fill_the_message() -> None:
    """The first are kept, for the whole of the run."""
    counts = DetailCounts()
    for number in range(2 * MOST_DETAILS):
        counts.add("play", {f"segment{number}_s": 1.0})
    assert len(counts.take()["play"]) == MOST_DETAILS
    counts.add("play", {"segment0_s": 1.0, f"segment{MOST_DETAILS}_s": 1.0})
    assert list(counts.take()["play"]) == ["segment0_s"]
