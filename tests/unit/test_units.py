"""Durations, sizes and the fields of a process."""

from collections.abc import Callable

import pytest

from seatrial.units import seconds, size_bytes, stat_fields


@pytest.mark.parametrize(
    ("parse", "texts", "expected"),
    [
        (seconds, ["250ms", "30s", "1.5m", "2h", " 5 min "], [0.25, 30.0, 90.0, 7200.0, 300.0]),
        (size_bytes, ["64KiB", "1.5MB", "2GiB", "7B"], [65536, 1_500_000, 2**31, 7]),
    ],
)
def test_each_unit_is_understood(parse: Callable[[str], float], texts: list[str], expected: list[float]) -> None:
    """Decimal and binary units of sizes differ."""
    assert [parse(text) for text in texts] == expected


@pytest.mark.parametrize("text", ["30", "30 parsecs", "", "s", "-5s", "1e3s"])
def test_a_duration_without_a_known_unit_is_refused(text: str) -> None:
    """A bare number is ambiguous, so it is an error that names the units."""
    with pytest.raises(ValueError, match="a number with one of ms, s, m, min, h"):
        seconds(text)


def test_a_name_with_brackets_does_not_shift_the_fields_of_a_process() -> None:
    """The state follows the last bracket."""
    assert stat_fields(b"12 (a) b (c)) S 7 12")[:2] == [b"S", b"7"]
