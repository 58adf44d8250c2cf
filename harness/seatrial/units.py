"""Units: durations, sizes and bitrates as people write them, and the clock ticks of /proc."""

from __future__ import annotations

import os
import re

NS_PER_S = 1_000_000_000
NS_PER_TICK = NS_PER_S // os.sysconf("SC_CLK_TCK")
"""The length of a clock tick, in which /proc counts CPU time and the start of a process (proc(5))."""
_NUMBER = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]*)\s*$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BITS = {"bit": 1, "kbit": 1000, "Mbit": 1000**2, "Gbit": 1000**3}
_BYTES = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}


def seconds(text: str) -> float:
    """Turn `250ms`, `30s`, `5m` or `1h` into seconds; ValueError names the units that exist."""
    return _scaled(text, _SECONDS, "a duration")


def size_bytes(text: str) -> int:
    """Turn `10MB` or `256MiB` into bytes; ValueError names the units that exist."""
    return round(_scaled(text, _BYTES, "a size"))


def bitrate_bps(text: str) -> int:
    """Turn `800kbit`, `4Mbit` or `4Mbit/s` into bits per second; ValueError names the units that exist."""
    return round(_scaled(text.removesuffix("/s"), _BITS, "a bitrate"))


def stat_fields(text: bytes) -> list[bytes]:
    """Split /proc/PID/stat from the state on, its third field: the name before it may hold blanks and brackets."""
    return text[text.rindex(b")") + 2 :].split()


def milliseconds(value_ns: int) -> str:
    """Return a latency in milliseconds with three digits, about as exact as a bucket of `wire.histogram` is."""
    value_ms = value_ns * 1000 / NS_PER_S
    return f"{value_ms:.{0 if value_ms >= 100 else 1 if value_ms >= 10 else 2}f} ms"  # noqa: PLR2004  (three digits)


def _scaled(text: str, units: dict[str, float] | dict[str, int], what: str) -> float:
    match = _NUMBER.match(text)
    if match is None or match[2] not in units:
        raise ValueError(f"{text!r} is not {what}: a number with one of {', '.join(units)} is expected")
    return float(match[1]) * units[match[2]]
