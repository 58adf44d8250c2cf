"""What a server says is not trusted: JSON and URLs are read here, and what makes no sense has one name."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import SplitResult, urlsplit


class Nonsense(Exception):
    """The server said something that the protocol does not allow; a `protocol` outcome, not a mistake of ours."""


def json_object(body: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Nonsense(f"{what} is not JSON") from error
    if not isinstance(document, dict):
        raise Nonsense(f"{what} is not an object")
    return document


def web_url(text: str, what: str) -> SplitResult:
    """Split an absolute http or https URL that can be written into a request as it is."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text or parts.username is not None:
        raise Nonsense(f"{what} is not an http or https URL")
    return parts
