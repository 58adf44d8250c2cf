"""Trials of a real load on a real server: each arrival belongs to one trial, and each trial begins at rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from process.lean_load import LEAN, PLAIN, ending_spawn, serving, settings
from process.scripted_child import RecordingObserver

from seatrial.compare.capacity_trial import TrialCounts
from seatrial.errors import UsageError
from seatrial.load.driver import LoadResult, drive
from seatrial.load.trials import TrialSequence
from seatrial.model import Phase
from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate

pytestmark = pytest.mark.alone


def _run(
    folder: Path,
    takes_s: float,
    play: Callable[[TrialSequence], None],
    observer: RecordingObserver,
    *,
    locustfile: str = LEAN.replace("    wait_time = constant(0.02)\n", ""),
    users: int = 20,
) -> LoadResult:
    """Run the trials of `play` on a server that takes so long for each answer."""
    with serving(takes_s) as url, ending_spawn() as spawn:
        load = settings(folder, url, locustfile, users=users, rate=Rate.steady(4.0), duration_s=1.0)
        return drive(load, observer, spawn=spawn, driver=partial(TrialSequence, play=play))


def test_every_arrival_belongs_to_its_trial(tmp_path: Path) -> None:
    """As many as rate and time make, none lost, all seen in the latency; the window comes after a settling."""
    observer, trials = RecordingObserver(), []

    def play(sequence: TrialSequence) -> None:
        trials.extend(
            [sequence.trial(20.0, 1.0, Phase.WARMUP), sequence.trial(50.0, 1.0), sequence.trial(10.0, 2.0)]
        )
        sequence.window(20.0, 1.0)

    result = _run(tmp_path, 0.002, play, observer)

    assert [trial.arrivals for trial in trials] == [20, 50, 20]
    assert [sum(trial.latency["page"].values()) for trial in trials] == [20, 50, 20]
    assert [(trial.lost, trial.at_rest, dict(trial.failures)) for trial in trials] == [(0, True, {})] * 3
    assert [trial.completed for trial in trials] == [20, 50, 20]
    assert all(trial.took_ns >= 0.002 * NS_PER_S * trial.completed for trial in trials)
    assert [span.phase for span in result.spans] == ["warmup", "settle", "settle", "settle", "window", "drain"]
    assert all(one.until_ns <= two.from_ns for one, two in zip(result.spans, result.spans[1:], strict=False))
    seconds = [second for _, second in observer.seconds]
    assert any(second.cpu_fraction is not None and second.loop_lag_p99_ns is not None for second in seconds)


def test_a_trial_after_a_flood_begins_with_nothing_that_waits(tmp_path: Path) -> None:
    """Two users on a server of 100 ms serve 20 of 200 arrivals; those of the next trial are served all."""
    trials: list[TrialCounts] = []

    def play(sequence: TrialSequence) -> None:
        trials.extend([sequence.trial(200.0, 1.0), sequence.trial(10.0, 1.0)])

    _run(tmp_path, 0.1, play, RecordingObserver(), users=2)

    flooded, calm = trials
    assert (flooded.arrivals, flooded.at_rest) == (200, True)
    assert flooded.lost == pytest.approx(180, abs=8)
    assert flooded.completed_per_s < 30
    assert (calm.arrivals, calm.lost, calm.late, calm.carried) == (10, 0, 0, 0)


def test_flows_that_outlast_the_rest_are_lost_to_the_trial(tmp_path: Path) -> None:
    """A server of 3 s; the next trial waits for them all the same."""
    trials: list[TrialCounts] = []

    def play(sequence: TrialSequence) -> None:
        trials.extend([sequence.trial(2.0, 1.0, rest_s=0.1), sequence.trial(2.0, 1.0, rest_s=8.0)])

    _run(tmp_path, 3.0, play, RecordingObserver())

    assert [(trial.arrivals, trial.lost, trial.carried) for trial in trials] == [(2, 2, 0), (2, 0, 0)]
    assert trials[1].took_ns >= 2 * 3 * NS_PER_S


def test_trials_end_once_the_observer_has_had_enough(tmp_path: Path) -> None:
    """The load drains; no further trial is begun."""
    counts: list[TrialCounts] = []

    class Stopping(RecordingObserver):
        def enough(self) -> bool:
            return bool(counts)

    def play(sequence: TrialSequence) -> None:
        while len(counts) < 20:
            counts.append(sequence.trial(20.0, 1.0))

    result = _run(tmp_path, 0.002, play, Stopping())

    assert len(counts) == 1
    assert [span.phase for span in result.spans] == ["settle", "settle", "drain"]


def test_users_that_can_not_follow_a_rate_are_refused(tmp_path: Path) -> None:
    """Before any trial: their own waits would look like the limit of the stack."""
    with pytest.raises(UsageError, match="can't follow a rate"):
        _run(tmp_path, 0.0, lambda _sequence: None, RecordingObserver(), locustfile=PLAIN)
