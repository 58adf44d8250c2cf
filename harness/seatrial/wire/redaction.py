"""Redaction: secrets out of URLs, text and logs; and which hosts may be loaded."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 4  # shorter settings (a port, `yes`) are no secrets, and masking them would spoil every log
_MARKS = "token|secret|passw|pwd|key|sig|auth|credential|session"
_IN_URL = re.compile(rf"([?&;][^=&;]*(?:{_MARKS})[^=&;]*=)[^&;#]+|(//)[^/@]+@", re.IGNORECASE)
_END = r"""\s"'<>()\[\]{}"""
"""Characters that end a URL within other text."""
_IN_TEXT = re.compile(
    rf"([?&;][^=&;{_END}]*(?:{_MARKS})[^=&;{_END}]*=)[^&;#{_END}]+|(//)[^/@{_END}]+@", re.IGNORECASE
)
_IN_LINE = re.compile(_IN_TEXT.pattern.encode(), re.IGNORECASE)
_BEFORE_SECRETS = (b"?", b"//")
"""One of them stands before each secret of a URL: most lines of a log have none, and are spared 40 us."""


def masked_url(url: str) -> str:
    """Return a string that is one URL, or its path and query, without secrets."""
    return _IN_URL.sub(_without_value, url)


def masked(text: str) -> str:
    """Return any text, such as a log, without the secrets of URLs in it."""
    return _IN_TEXT.sub(_without_value, text)


def _without_value(match: re.Match[str]) -> str:
    return f"{match[1]}..." if match[1] else match[2]


class Redactor:
    """Replaces the values of an environment, also where they are URL-encoded, by three stars; masks URLs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        forms = {
            form
            for value in environment.values()
            if len(value) >= _SHORTEST
            for form in (value, quote(value, safe=""), quote_plus(value))
        }
        self._forms = sorted(forms, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return masked(text)

    def line(self, line: bytes) -> bytes:
        """Return one line, whatever its encoding, without secrets."""
        for form in self._forms:
            line = line.replace(form.encode(), MASK.encode())
        if any(mark in line for mark in _BEFORE_SECRETS):
            return _IN_LINE.sub(lambda match: match[1] + b"..." if match[1] else match[2], line)
        return line


def may_load(host: str, allowed: Collection[str]) -> bool:
    """Return whether `host` is loopback, or one of those that are allowed by name or address."""
    return host in allowed or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether a name or address can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
