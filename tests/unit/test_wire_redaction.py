"""URLs lose their secrets, alone and in other text."""

from __future__ import annotations

import pytest

from seatrial.wire.redaction import Redactor, masked, masked_url


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("/search?q=boat&page=2", "/search?q=boat&page=2"),
        ("/layer?X-Amz-Signature=0a1b&n=1", "/layer?X-Amz-Signature=...&n=1"),
        ("/login?user=me&access_token=abc#top", "/login?user=me&access_token=...#top"),
        ("http://me:word@host/x", "http://host/x"),
    ],
)
def test_a_label_holds_no_secret(name: str, label: str) -> None:
    """Locust names a request after its whole URL, and tables are shown to others."""
    assert masked_url(name) == label


@pytest.mark.parametrize(
    ("line", "without_secrets"),
    [
        ("GET      /item?page=2&token=TOPSECRET      10", "GET      /item?page=2&token=...      10"),
        ('url = "http://me:word@host/x?Sig=0a1b", mail', 'url = "http://host/x?Sig=...", mail'),
        ("mail me@home? the key = 7\n", "mail me@home? the key = 7\n"),
    ],
)
def test_a_log_holds_no_secret(line: str, without_secrets: str) -> None:
    """The text around a URL stays: a table of Locust's, a traceback, a word with an `@`."""
    assert masked(line) == without_secrets


@pytest.mark.parametrize(
    ("settings", "text", "clean"),
    [
        ({"PASSWORD": "a/b c&d"}, "a/b c&d a%2Fb%20c%26d a%2Fb+c%26d", "*** *** ***"),
        ({"A": "open", "B": "open-sesame"}, "say open-sesame", "say ***"),
        ({"PORT": "80", "ON": "yes"}, "80 yes", "80 yes"),
    ],
    ids=["also as it stands in an address", "the longer one first", "short settings are no secrets"],
)
def test_the_values_of_settings_are_masked(settings: dict[str, str], text: str, clean: str) -> None:
    """In texts and in lines of a log."""
    assert Redactor(settings).text(text) == clean
    assert Redactor(settings).line(text.encode()) == clean.encode()
