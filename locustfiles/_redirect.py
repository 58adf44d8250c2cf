"""Redirects: where a Location leads, and whether the credentials may go there."""

from __future__ import annotations

from urllib.parse import urljoin

from _untrusted import Nonsense, web_url

STATUSES = (301, 302, 303, 307, 308)
LIMIT = 10
_DEFAULT_PORTS = {"http": 80, "https": 443}


def follow(url: str, location: str | None) -> tuple[str, bool]:
    """Return the absolute URL that `location` means at `url`, and whether it is the same origin.

    Credentials go to the same scheme, host and port only. Nonsense for what can't be followed.
    """
    try:
        there = urljoin(url, location or "").partition("#")[0] if location else ""
    except ValueError as error:
        raise Nonsense("a redirect's Location is malformed") from error
    return there, _origin(there) == _origin(url)


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = web_url(url, "a redirect's Location")
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]
