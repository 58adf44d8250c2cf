"""Progress while an experiment runs, and the units of durations and sizes."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from seatrial.progress import Progress, Steps, duration_text, memory_line
from seatrial.units import bitrate_bps, seconds, size_bytes, stat_fields


def test_the_steps_of_a_run_are_the_running_line_of_the_whole() -> None:
    """Eight steps of twenty runs would push the looks out of sight; in a log one in ten seconds stays."""
    out, now = io.StringIO(), [0.0]
    whole = Progress(console=Console(file=out, width=200), clock=lambda: now[0])
    steps = Steps(whole, "block 2 of 6 · base")

    steps.say("creating the containers")
    steps.say("starting the containers")
    now[0] = 11.0
    steps.live("window: 9 requests/s")

    Steps(Progress(quiet=True, console=Console(file=out)), "block 1").say("`--quiet` is of the whole")

    assert out.getvalue().splitlines() == [
        "block 2 of 6 · base · creating the containers",
        "block 2 of 6 · base · window: 9 requests/s",
    ]


def test_memory_stands_at_the_end_of_the_line_where_it_is_known() -> None:
    """A service whose memory only the Docker API could report is left out."""
    assert memory_line({"auth": 41 << 20, "nginx": None, "redis": 5 << 20}) == " · MiB: auth 41, redis 5"
    assert memory_line({"auth": None}) == ""


def test_the_running_line_of_a_terminal_is_one_line() -> None:
    """Twelve services would fill a screen each second, and leave lines behind."""
    out = io.StringIO()
    memory = memory_line({f"service-{number}": 5 << 20 for number in range(12)})
    with Progress(console=Console(file=out, width=60, force_terminal=True, color_system=None)) as progress:
        progress.live(f"window: 9 requests/s{memory}")
        progress.live(f"window: 8 requests/s{memory}")

    shown = [line for line in re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", out.getvalue()) if line.strip()]
    assert any("window: 8 requests/s · MiB: service-0 5" in line for line in shown)
    assert all(len(line) <= 60 and "window" in line for line in shown)


def test_an_estimated_duration_is_rounded() -> None:
    """Seconds up to two minutes, minutes from there on."""
    assert [duration_text(lasts_s) for lasts_s in (7.4, 119, 130, 3600)] == ["7 s", "119 s", "2 min", "60 min"]


@pytest.mark.parametrize(
    ("parse", "texts", "expected"),
    [
        (seconds, ["250ms", "30s", "1.5m", "2h", " 5 min "], [0.25, 30.0, 90.0, 7200.0, 300.0]),
        (bitrate_bps, ["800kbit", "4Mbit", "2.5Mbit/s", "9bit"], [800_000, 4_000_000, 2_500_000, 9]),
        (size_bytes, ["64KiB", "1.5MB", "2GiB", "7B"], [65536, 1_500_000, 2**31, 7]),
    ],
)
def test_each_unit_is_understood(parse: Callable[[str], float], texts: list[str], expected: list[float]) -> None:
    """Decimal and binary units of sizes differ."""
    assert [parse(text) for text in texts] == expected


@pytest.mark.parametrize("text", ["30", "30 parsecs", "", "s", "-5s", "1e3s"])
def test_a_duration_without_a_known_unit_is_refused(text: str) -> None:
    """A bare number is ambiguous, so it is an error that names the units."""
    with pytest.raises(ValueError, match="a number with one of ms, s, m, min, h"):
        seconds(text)


def test_a_name_with_brackets_does_not_shift_the_fields_of_a_process() -> None:
    """The state follows the last bracket."""
    assert stat_fields(b"12 (a) b (c)) S 7 12")[:2] == [b"S", b"7"]
