"""What is done in each second of a run: look whether the sampler lives, reckon the rules, say how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seatrial.campaign.stopwatch import Stopwatch
from seatrial.errors import StoppedEarly
from seatrial.model import LoadSecond, NoteKind, Phase
from seatrial.observe.glance import HOST, Glance
from seatrial.observe.session import Observer
from seatrial.report.progress import Progress, memory_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Who is asked and told in each second."""

    observer: Observer
    glance: Glance
    stopwatch: Stopwatch
    progress: Progress

    def second(self, phase: Phase, second: LoadSecond) -> None:
        """Take one second of the load; in the drain no rule is reckoned any more."""
        self.observer.check_alive()
        held = self.glance.held()
        if phase in {Phase.WARMUP, Phase.WINDOW}:
            self.stopwatch.take(second, held)
        services = {name: one.memory_bytes for name, one in held.items() if name != HOST}
        self.progress.live(f"{phase}: {second.text()}{memory_line(services)}")


def refuse_stopped(stopwatch: Stopwatch, noted: Callable[[NoteKind, str], None]) -> None:
    """Raise StoppedEarly if a rule has fired; else note which rules could never be told."""
    if stopwatch.fired:
        raise StoppedEarly(
            "the run was stopped early",
            where="stop_when",
            seen=stopwatch.fired,
            hint="the data up to then is kept: seatrial show",
        )
    for text in stopwatch.untold:
        noted(NoteKind.RULE_WITHOUT_VALUE, f"stop_when: {text}: there was never a value to judge")
