"""The rate of plain Locust, as its options tell it."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from seatrial.errors import UsageError
from seatrial.user import standalone
from seatrial.user.options import _checked, rate_of
from seatrial.wire.rates import Rate, Stretch


def _told(rate: str = "", file: str = "", spacing: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(arrival_rate=rate, arrival_rate_file=file, arrival_spacing=spacing)


def test_without_options_the_model_is_closed() -> None:
    """Users come and wait as the locustfile says."""
    assert rate_of(_told()) is None
    assert rate_of(_told(spacing="constant")) is None  # as the web UI's form says
    assert rate_of(SimpleNamespace()) is None


def test_a_rate_is_constant_unless_it_is_told_otherwise() -> None:
    """One rate that holds for ever."""
    held = (Stretch(math.inf, 50.0, 50.0),)
    assert rate_of(_told("50/s")) == Rate(held, poisson=False)
    assert rate_of(_told("50/s", spacing="poisson")) == Rate(held, poisson=True)


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    """It begins with a byte-order mark and ends its lines as on Windows."""
    file = tmp_path / "rates.csv"
    file.write_bytes("\ufeffsecond,rate\r\n0,5\r\n10,20\r\n".encode())

    rate = rate_of(_told(file=str(file)))

    assert rate == Rate((Stretch(10.0, 5.0, 5.0), Stretch(math.inf, 20.0, 20.0)))


def test_an_empty_rate_is_a_mistake() -> None:
    """A variable that is not set must not make another model of the load."""
    with pytest.raises(argparse.ArgumentTypeError):
        _checked("")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (_told(spacing="poisson"), "arrivals are given without their rate"),
        (_told("5/s", "x"), "the rate is given twice"),
        (_told(file="/nowhere.csv"), "No such file"),
        (_told(file="/nowhere.csv"), "lines `second,rate`"),
    ],
)
def test_what_can_not_be_meant_is_refused(options: SimpleNamespace, told: str) -> None:
    """With what is wrong and what is expected."""
    with pytest.raises(UsageError) as refusal:
        rate_of(options)

    assert told in str(refusal.value)


def test_a_file_is_no_folder_for_records(tmp_path: Path) -> None:
    """Told as a mistake of the command, with a name that is free."""
    file = tmp_path / "there"
    file.touch()

    with pytest.raises(UsageError) as refusal:
        standalone.claim(file)

    assert f"--record {file}-2" in str(refusal.value)
