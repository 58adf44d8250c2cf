"""How numbers are written, everywhere."""

from __future__ import annotations

import pytest

from seatrial.report import numbers


@pytest.mark.parametrize(
    ("value_ns", "text"),
    [
        (None, "-"),
        (0, "0"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (12_345_678, "12.3 ms"),
        (999_600_000, "1.00 s"),
        (119_000_000_000, "119 s"),
        (120_000_000_000, "2.00 min"),
        (-12_345_678, "-12.3 ms"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(value_ns: int | None, text: str) -> None:
    """Unknown is a dash, a measured zero is 0."""
    assert numbers.duration(value_ns) == text


@pytest.mark.parametrize(
    ("value_bytes", "text"),
    [(None, "-"), (0, "0"), (512, "512 B"), (14_889_779, "14.2 MiB"), (1 << 30, "1.00 GiB")],
)
def test_a_size_is_binary(value_bytes: int | None, text: str) -> None:
    """Memory is counted in powers of 1024."""
    assert numbers.size(value_bytes) == text


def test_columns_of_memory_have_one_decimal() -> None:
    """One unit and one decimal, so that a column can be compared by eye."""
    assert [numbers.mebibytes(value) for value in (None, 0, 1 << 19, 3 << 30)] == ["-", "0", "0.5", "3,072.0"]


def test_counts_have_thousands() -> None:
    """Long numbers can be read."""
    assert (numbers.count(1234567), numbers.count(None)) == ("1,234,567", "-")


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(0.0, "0"), (0.0042, "0.004"), (0.42, "0.42"), (9.999, "10.0"), (207.4, "207"), (1e6, "1,000,000")],
)
def test_rates_keep_three_digits(per_s: float, text: str) -> None:
    """Small rates are not rounded to nothing."""
    assert numbers.rate(per_s) == text


def test_shares_moments_and_cores() -> None:
    """Percent with a space, moments with a sign, cores with three decimals below one."""
    assert (numbers.percent(0.1008), numbers.percent(None)) == ("10.1 %", "-")
    assert (numbers.moment(2_500_000_000), numbers.moment(-100_000_000)) == ("+2.5 s", "-0.1 s")
    assert (numbers.cores(0.4), numbers.cores(1.234), numbers.cores(None)) == ("0.400", "1.23", "-")
    assert numbers.megabytes_per_s(14_200_000) == "14.2"


@pytest.mark.parametrize(
    ("effect", "points", "text"),
    [
        (None, False, "-"),
        (0.000001, False, "0 %"),
        (0.0423, False, "+4.23 %"),
        (-0.5, False, "-50.0 %"),
        (9.99, False, "+999 %"),
        (10.0, False, "+1,000 %"),
        (123_456.78, False, "> +1,000 %"),
        (0.003, True, "+0.30 pts"),
    ],
)
def test_a_change_beyond_tenfold_is_told_as_that(effect: float | None, points: bool, text: str) -> None:  # noqa: FBT001  (a parameter of the table above)
    """The digits of +12,345,678 % tell of scatter, and nobody reads them."""
    assert numbers.change(effect, points=points) == text


def test_intervals_of_changes() -> None:
    """One unit for both ends; where both are beyond, there is one thing to say."""
    assert numbers.between(0.012, 0.042) == "+1.20 to +4.20 %"
    assert numbers.between(-0.5, 90.0) == "-50.0 to > +1,000 %"
    assert numbers.between(20.0, 90.0) == "> +1,000 %"
    assert (numbers.amount(0.05), numbers.amount(90.0), numbers.amount(None)) == ("5.00 %", "> 1,000 %", "-")


def test_one_is_not_many() -> None:
    """Nobody writes `1 variants`."""
    assert [numbers.counted(count, "block") for count in (0, 1, 2000)] == ["0 blocks", "1 block", "2,000 blocks"]
