"""Progress while an experiment runs: one running line for each run, with the memory of its services."""

import io
import re

from rich.console import Console

from seatrial.progress import Progress, Steps, duration_text, memory_line


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
