"""Durations and sizes at the edge."""

import pytest

from seatrial.units import seconds, size_bytes, stat_fields


@pytest.mark.parametrize(
    ("text", "expected"), [("250ms", 0.25), ("30s", 30.0), ("1.5m", 90.0), ("2h", 7200.0), (" 5 min ", 300.0)]
)
def test_a_duration_becomes_seconds(text: str, expected: float) -> None:
    """Each unit that people write is understood."""
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["30", "30 parsecs", "", "s", "-5s", "1e3s"])
def test_a_duration_without_a_known_unit_is_refused(text: str) -> None:
    """A bare number is ambiguous, so it is an error that names the units."""
    with pytest.raises(ValueError, match="a number with one of ms, s, m, min, h"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("64KiB", 65536), ("1.5MB", 1_500_000), ("2GiB", 2**31), ("7B", 7)]
)
def test_a_size_becomes_bytes(text: str, expected: int) -> None:
    """Decimal and binary units differ, as they are written."""
    assert size_bytes(text) == expected


def test_a_name_with_brackets_does_not_shift_the_fields_of_a_process() -> None:
    """The state follows the last bracket."""
    assert stat_fields(b"12 (a) b (c)) S 7 12")[:2] == [b"S", b"7"]
