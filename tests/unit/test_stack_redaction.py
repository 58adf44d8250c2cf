"""Secrets do not get into logs."""

from __future__ import annotations

import io

from seatrial.stack.logs import write_clean
from seatrial.wire.redaction import Redactor


def test_values_are_masked_also_url_encoded() -> None:
    """A secret is masked as it is, and as it stands in an address."""
    redactor = Redactor({"PASSWORD": "a/b c&d"})
    assert redactor.text("a/b c&d a%2Fb%20c%26d a%2Fb+c%26d") == "*** *** ***"


def test_longer_secret_goes_first() -> None:
    """A secret that contains another one is masked as a whole."""
    assert Redactor({"A": "open", "B": "open-sesame"}).line(b"say open-sesame") == b"say ***"


def test_short_settings_are_left_alone() -> None:
    """A port or a `yes` is no secret."""
    assert Redactor({"PORT": "80", "ON": "yes"}).text("80 yes") == "80 yes"


def test_secret_across_two_pieces_is_masked() -> None:
    """A log comes in pieces that know nothing of lines."""
    out = io.BytesIO()
    write_clean([b"one open-", b"sesame\ntwo"], out, Redactor({"A": "open-sesame"}))
    assert out.getvalue() == b"one ***\ntwo"
