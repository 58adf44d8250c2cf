"""Secrets in URLs, taken out of what is kept: values of telling parameters, and user and password."""

from __future__ import annotations

import re

_TELLING = "token|secret|passw|pwd|key|sig|auth|credential|session"
_IN_NAME = re.compile(rf"([?&;][^=&;]*(?:{_TELLING})[^=&;]*=)[^&;#]+|(//)[^/@]+@", re.IGNORECASE)
_END = r"""\s"'<>()\[\]{}"""
"""What ends a URL that stands in other text."""
_IN_TEXT = re.compile(
    rf"([?&;][^=&;{_END}]*(?:{_TELLING})[^=&;{_END}]*=)[^&;#{_END}]+|(//)[^/@{_END}]+@", re.IGNORECASE
)


def masked_url(url: str) -> str:
    """Return a string that is one URL, or its path and query, without secrets."""
    return _IN_NAME.sub(_kept, url)


def masked(text: str) -> str:
    """Return any text, such as a log, without the secrets of URLs in it."""
    return _IN_TEXT.sub(_kept, text)


def _kept(found: re.Match[str]) -> str:
    return f"{found[1]}..." if found[1] else f"{found[2]}"
