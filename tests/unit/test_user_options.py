"""Options of plain Locust: its rate, where it records, and what is kept of its command line."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from seatrial.errors import UsageError
from seatrial.user.options import _checked, rate_of
from seatrial.user.standalone import claim, option_names, without_secrets
from seatrial.wire.rates import Rate, Stretch


def _options(rate: str = "", file: str = "", spacing: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(arrival_rate=rate, arrival_rate_file=file, arrival_spacing=spacing)


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        *((options, None) for options in (_options(), _options(spacing="constant"), SimpleNamespace())),
        (_options("50/s"), Rate.steady(50.0)),
        (_options("50/s", spacing="poisson"), Rate.steady(50.0, poisson=True)),
    ],
)
def test_without_a_rate_the_model_is_closed(options: SimpleNamespace, rate: Rate | None) -> None:
    """Users come and wait as in the locustfile; the web UI's form sends `constant`, which is the default."""
    assert rate_of(options) == rate


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    """It begins with a byte-order mark and ends its lines as on Windows."""
    file = tmp_path / "rates.csv"
    file.write_bytes("\ufeffsecond,rate\r\n0,5\r\n10,20\r\n".encode())
    rate = rate_of(_options(file=str(file)))
    assert rate == Rate((Stretch(10.0, 5.0, 5.0), Stretch(math.inf, 20.0, 20.0)))


def test_an_empty_rate_is_a_mistake() -> None:
    """A variable that is not set must not make another model of the load."""
    with pytest.raises(argparse.ArgumentTypeError):
        _checked("")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (_options(spacing="poisson"), "arrivals are given without their rate"),
        (_options("5/s", "x"), "the rate is given twice"),
        (_options(file="/nowhere.csv"), r"(?s)No such file.*lines `second,rate`"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: SimpleNamespace, message: str) -> None:
    """The error has what is wrong and what is expected."""
    with pytest.raises(UsageError, match=message):
        rate_of(options)


def test_only_the_names_of_options_are_kept() -> None:
    """A value may be a password."""
    words = ["-f", "x.py", "-Hhttp://me:word@host", "--password=word", "--user", "me"]
    assert option_names(words) == ["-f", "-H", "--password", "--user"]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://me:word@host:80/v2/?key=1", "http://host:80/v2/"),
        ("http://[bad", "http://[bad"),
        ("http://me:word@[bad", "[bad"),
        ("http://me:wo/rd@host", "host"),
        ("me:word@host:80", "host:80"),
        ("localhost", "localhost"),
        ("", ""),
    ],
)
def test_a_host_is_kept_without_secrets(url: str, kept: str) -> None:
    """Also where it is no URL: it is written down before that is checked."""
    assert without_secrets(url) == kept


def test_a_file_is_no_folder_for_records(tmp_path: Path) -> None:
    """A usage error, with a name that is free."""
    file = tmp_path / "there"
    file.touch()
    with pytest.raises(UsageError, match=f"--record {file}-2"):
        claim(file)
