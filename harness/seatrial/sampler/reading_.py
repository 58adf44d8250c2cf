"""What every way to read a target has in common, and the arithmetic of values that may be unknown."""

from __future__ import annotations

import errno
from typing import Protocol

from seatrial.wire.streams import NULL
from seatrial.wire.tables import Reading

GONE_ERRORS = frozenset({errno.ENOENT, errno.ENODEV, errno.ESRCH})
"""What the kernel answers on a descriptor whose cgroup or process no longer exists."""


class Source(Protocol):
    """One way to read one target; keeps its descriptors open between readings."""

    @property
    def kind(self) -> str:
        """What the summary calls this source, such as `cgroup v1`."""
        ...

    def read(self) -> Reading | None:
        """Read now; None where nothing new is there; OSError of GONE_ERRORS when the target has ended."""
        ...

    def close(self) -> None:
        """Let go of every descriptor."""
        ...


def scaled(value: int, factor: int) -> int:
    """Multiply `value`, and keep NULL."""
    return NULL if value == NULL else value * factor


def known_sum(*values: int) -> int:
    """Add what is known; NULL if nothing is."""
    known = [value for value in values if value != NULL] if NULL in values else values
    return sum(known) if known else NULL


def remainder(whole: int, *parts: int) -> int:
    """Take the parts from the whole, never below 0: counters move in batches, at their own times; NULL is kept."""
    if whole == NULL or NULL in parts:
        return NULL
    left = whole - sum(parts)
    return left if left > 0 else 0  # noqa: FURB136  (a call of `max` for each of many columns)
