"""Which details of a flow are measurements."""

from __future__ import annotations

import pytest

from seatrial.wire.streams import detail_ending, detail_numbers


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
