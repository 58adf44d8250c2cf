"""The block loop: when an experiment goes on, when it stops, what it saves; with scripted blocks and looks."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import experiments
import pytest
from rich.console import Console

from seatrial.compare import comparison
from seatrial.compare.comparison import Comparison, Next
from seatrial.compare.pairing import BlockValues, RunValues
from seatrial.errors import (
    EngineUnavailable,
    LoadFailed,
    NotReady,
    PreflightFailed,
    ResultsUnwritable,
    SeatrialError,
    UsageError,
)
from seatrial.experiment.blocks import BlockTurn, ExperimentDesign, ExperimentLoop, FinishedExperiment
from seatrial.experiment.resume import ResumableExperiment
from seatrial.measure import metric
from seatrial.model import ExperimentPlan, Look
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record.documents import ExperimentProgress, LookTaken

GATE = (metric.parse("cpu per request"),)
SAME = experiments.Truth()
QUIET = Progress(quiet=True)


def _values(cpu: float) -> RunValues:
    return RunValues(values={"cpu per request": cpu, "failures": 0.0}, requests=10_000)


class Script(ExperimentDesign):
    """Scripted runs of ten seconds each, some of which fail, on a clock of their own."""

    def __init__(
        self,
        fails: Mapping[tuple[str, int], SeatrialError] | None = None,
        values: Callable[[str, int], float] | None = lambda _variant, _block: 1.0,
    ) -> None:
        self.fails = fails or {}
        self.values = values
        self.now_s = 0.0
        self.done: list[tuple[str, int]] = []
        self.looked: list[tuple[int, float]] = []

    def run_block(self, turn: BlockTurn) -> dict[str, SeatrialError]:
        """Run a block."""
        failed = {}
        for name in turn.variants:
            self.now_s += 10
            error = self.fails.get((name, turn.number))
            if isinstance(error, EngineUnavailable | UsageError | ResultsUnwritable):
                raise error
            if error is not None:
                failed[name] = error
            self.done.append((name, turn.number))
        return failed

    def compare(self, alpha: float) -> Comparison | None:
        """Compare the blocks so far, if they have values."""
        numbers = sorted({number for _, number in self.done})
        self.looked.append((len(numbers), alpha))
        if self.values is None:
            return None
        blocks: Sequence[BlockValues] = [
            {name: _values(self.values(name, number)) for name in ("base", "new")} for number in numbers
        ]
        return comparison.compare(blocks, base="base", gate=GATE, alpha=alpha)


class Loop(ExperimentLoop):
    """Compares the values of a script in place of stored runs."""

    def __init__(self, script: Script, experiment: ResumableExperiment, progress: Progress) -> None:
        super().__init__(experiment, progress, clock=lambda: script.now_s)
        self.script = script

    def compare(self, alpha: float) -> Comparison | None:
        """Compare the runs of the script."""
        return self.script.compare(alpha)


def _plan(blocks: int, looks: Sequence[int] = (), time_s: float | None = None) -> ExperimentPlan:
    taken = tuple(Look(blocks=number, alpha=0.05 / len(looks)) for number in looks)
    return experiments.planned({"base": SAME, "new": SAME}, blocks, looks=taken, time_s=time_s)


def _run(
    script: Script,
    plan: ExperimentPlan,
    folder: Path,
    progress: Progress = QUIET,
    **more: Any,  # noqa: ANN401  (fields of ResumableExperiment)
) -> FinishedExperiment:
    return Loop(script, ResumableExperiment(folder=folder, plan=plan, **more), progress).run(script)


def _noisy(name: str, number: int) -> float:
    return 1.0 + 0.03 * (number % 3) * (1 if name == "new" else -1)


def test_every_block_is_run_while_nothing_decides(tmp_path: Path) -> None:
    """In the order of the plan; course.json has why it ended."""
    script = Script(values=_noisy)

    done = _run(script, _plan(5, (5,)), tmp_path)

    assert script.done == [(name, number) for number in range(1, 6) for name in ("base", "new")]
    assert done.stopped == "the budget is used up"
    saved = documents.load_progress(tmp_path)
    assert (saved.stopped, saved.blocks) == (done.stopped, 5)


def test_a_look_that_decides_ends_it(tmp_path: Path) -> None:
    """Twice the CPU time is significant after four blocks."""
    script = Script(values=lambda name, number: (2.0 if name == "new" else 1.0) + 0.001 * number)

    done = _run(script, _plan(20, (4, 10, 20)), tmp_path)

    assert done.stopped == "decided"
    assert script.looked == [(4, 0.05 / 3)]
    assert [look.advice for look in documents.load_progress(tmp_path).looks] == ["decided"]


def test_only_planned_looks_are_taken_and_none_decides_without_a_comparison(tmp_path: Path) -> None:
    """A look after each block would raise a false alarm in one of six equal pairs."""
    script = Script(values=None)

    done = _run(script, _plan(6, (4, 6)), tmp_path)

    assert (done.stopped, len(script.done)) == ("the budget is used up", 12)
    assert script.looked == [(4, 0.025), (6, 0.025)]


@pytest.mark.parametrize(
    ("budget_s", "before", "runs"),
    [
        (70, ExperimentProgress(blocks=0), 6),
        (1, ExperimentProgress(blocks=0), 2),
        (30, ExperimentProgress(blocks=2, lasted_s=31), 0),
        (55, ExperimentProgress(blocks=2, lasted_s=40, blocks_s=(20, 20)), 0),
    ],
    ids=["three of 20 s fit", "one is always run", "used up before", "length known before"],
)
def test_a_block_that_would_not_fit_is_not_begun(
    tmp_path: Path, budget_s: float, before: ExperimentProgress, runs: int
) -> None:
    """The time before an interruption counts, and so does how long blocks took then."""
    script = Script(values=_noisy)

    done = _run(script, _plan(9, (9,), time_s=budget_s), tmp_path, state=before)

    assert (len(script.done), done.stopped) == (runs, f"the budget of {budget_s} s is used up")


NEVER = {("base", number): NotReady("no") for number in range(1, 9)}


@pytest.mark.parametrize(
    ("blocks", "fails", "runs", "stopped"),
    [
        (4, {("new", 1): NotReady("no"), ("base", 2): NotReady("no"), ("base", 3): LoadFailed("no")}, 8, ""),
        (8, NEVER, 4, "the base never came up"),
        (1, NEVER, 2, "the base never came up"),
        (8, dict.fromkeys(NEVER, LoadFailed("no")), 4, "the load of the base never came to its end"),
        (
            8,
            dict.fromkeys(NEVER, PreflightFailed("no")),
            4,
            "the base does not answer what the load's clients rely on",
        ),
    ],
)
def test_only_a_base_that_fails_in_the_first_two_blocks_ends_it(
    tmp_path: Path, blocks: int, fails: dict[tuple[str, int], SeatrialError], runs: int, stopped: str
) -> None:
    """With its error, which has the exit code; any other failure is an outcome, and the others go on."""
    script = Script(fails=fails)

    done = _run(script, _plan(blocks), tmp_path)

    assert (len(script.done), done.stopped) == (runs, stopped or "the budget is used up")
    assert done.failure is (fails["base", runs // 2] if stopped else None)


def test_a_base_that_failed_before_the_interruption_counts(tmp_path: Path) -> None:
    """The second block without a base is the last one."""
    script = Script(fails={("base", 2): NotReady("no")})

    done = _run(script, _plan(8), tmp_path, finished={("base", 1), ("new", 1)}, base_failed={1})

    assert script.done == [("base", 2), ("new", 2)]
    assert isinstance(done.failure, NotReady)


@pytest.mark.parametrize("error", [EngineUnavailable("gone"), UsageError("no"), ResultsUnwritable("full")])
def test_an_error_that_is_no_outcome_ends_it_at_once(tmp_path: Path, error: SeatrialError) -> None:
    """The time of the block that was interrupted counts; the reason of an earlier end is removed."""
    script = Script(fails={("new", 2): error})

    with pytest.raises(type(error)):
        _run(script, _plan(8), tmp_path, state=ExperimentProgress(blocks=0, stopped="the base never came up"))

    assert script.done == [("base", 1), ("new", 1), ("base", 2)]
    saved = documents.load_progress(tmp_path)
    assert (saved.blocks, saved.lasted_s, saved.stopped) == (1, 40, "")


def test_finished_runs_and_looks_are_not_repeated(tmp_path: Path) -> None:
    """Only the runs that are left, in their order."""
    script = Script(values=_noisy)
    look = LookTaken(blocks=2, alpha=0.01, advice="go on")
    finished = {("base", 1), ("new", 1), ("base", 2), ("new", 2), ("new", 3)}

    state = ExperimentProgress(blocks=2, looks=(look,), lasted_s=45.0)
    _run(script, _plan(4, (2, 4), time_s=300), tmp_path, finished=finished, state=state)

    assert script.done == [("base", 3), ("base", 4), ("new", 4)]
    assert [blocks for blocks, _ in script.looked] == [2]
    assert documents.load_progress(tmp_path).lasted_s == pytest.approx(75)


@pytest.mark.parametrize("advice", [Next.DECIDED, Next.PRECISE, Next.FUTILE, Next.OVER])
def test_an_experiment_that_a_look_ended_is_not_resumed(tmp_path: Path, advice: Next) -> None:
    """More blocks after a verdict would give chance another try."""
    script, output = Script(), io.StringIO()
    state = ExperimentProgress(blocks=2, stopped=advice.value, lasted_s=40.0)
    documents.save_progress(tmp_path, state)
    progress = Progress(console=Console(file=output, width=200))

    done = _run(script, _plan(4, (2, 4)), tmp_path, progress, state=state)

    assert (script.done, script.looked, done.stopped) == ([], [], advice.value)
    assert f"it had ended before: {advice.value}" in output.getvalue()
    assert documents.load_progress(tmp_path) == state


def test_the_line_of_progress_has_block_time_left_and_variant() -> None:
    """The time only once it is known."""
    assert BlockTurn(number=2, of=6, variants=("a",), left_s=300).text("a") == "block 2 of 6 · 5 min left · a"
    assert BlockTurn(number=1, of=6, variants=("a",)).text("a") == "block 1 of 6 · a"
