"""Options `--media-NAME` of the media locustfiles: how they are declared to Locust, and which numbers can't be."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any

Option = tuple[str, Any, str]
"""Its name without `--media-`, its default, whose type is that of its values, and a text for --help."""


def declare(parser: Any, options: Iterable[Option]) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    """Add options to Locust's parser; each can be given as an environment variable LOCUST_MEDIA_NAME, too."""
    for name, default, text in options:
        variable = f"LOCUST_MEDIA_{name.upper().replace('-', '_')}"
        parser.add_argument(f"--media-{name}", type=type(default), default=default, env_var=variable, help=text)


def wrong_number(parsed: Any, options: Iterable[Option]) -> tuple[str, str] | None:  # noqa: ANN401  (a namespace)
    """Return the first option whose number is negative, infinite or none, and that value; None: all are right.

    Times, rates and counts below 0 would have viewers act before they were told to, and for ever.
    """
    for name, *_ in options:
        value = getattr(parsed, f"media_{name.replace('-', '_')}")
        if isinstance(value, (int, float)) and not 0 <= value < inf:
            return f"--media-{name}", str(value)
    return None
