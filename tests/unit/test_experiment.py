"""When an experiment goes on, when it stops, and what it keeps: with scripted blocks and looks."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seatrial.compare import comparison
from seatrial.compare.comparison import Comparison, Next
from seatrial.compare.pairing import BlockValues, RunValues
from seatrial.errors import EngineUnavailable, LoadFailed, NotReady, ResultsUnwritable, SeatrialError, UsageError
from seatrial.experiment.blocks import BlockTurn, ExperimentDesign, ExperimentLoop, FinishedExperiment
from seatrial.measure import metric
from seatrial.model import ExperimentPlan, Look
from seatrial.progress import Progress
from seatrial.record import documents

GATE = (metric.parse("cpu per request"),)


class Script(ExperimentDesign):
    """Stacks that fail where they are to, on a clock of their own: each run takes ten seconds."""

    def __init__(
        self,
        fails: Mapping[tuple[str, int], SeatrialError] | None = None,
        values: Callable[[str, int], float] = lambda _variant, _block: 1.0,
    ) -> None:
        self.fails = fails or {}
        self.values = values
        self.now_s = 0.0
        self.done: list[tuple[str, int]] = []
        self.looked: list[tuple[int, float]] = []

    def clock(self) -> float:
        """Return the time."""
        return self.now_s

    def run_block(self, turn: BlockTurn) -> dict[str, SeatrialError]:
        """Do a block."""
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

    def compare(self, alpha: float) -> Comparison:
        """Judge the blocks so far."""
        numbers = sorted({number for _, number in self.done})
        self.looked.append((len(numbers), alpha))
        blocks: Sequence[BlockValues] = [
            {name: RunValues(values=self._values(name, number), requests=10_000) for name in ("base", "new")}
            for number in numbers
        ]
        return comparison.compare(blocks, base="base", gate=GATE, alpha=alpha)

    def _values(self, name: str, number: int) -> dict[str, float | None]:
        return {"cpu per request": self.values(name, number), "failures": 0.0}


class Loop(ExperimentLoop):
    """Compares the values of a script in place of stored runs."""

    def __init__(
        self,
        script: Script,
        plan: ExperimentPlan,
        folder: Path,
        progress: Progress,
        **more: Any,  # noqa: ANN401  (as ExperimentLoop takes them)
    ) -> None:
        super().__init__(folder, plan, progress, clock=script.clock, **more)
        self.script = script

    def compare(self, alpha: float) -> Comparison | None:
        """Compare what the script has done."""
        return self.script.compare(alpha)


def _plan(blocks: int, looks: Sequence[int] = (), time_s: float | None = None) -> ExperimentPlan:
    return ExperimentPlan(
        command="compare",
        scenario="one",
        question="?",
        seed=1,
        blocks=(("base", "new"),) * blocks,
        looks=tuple(Look(blocks=number, alpha=0.05 / len(looks)) for number in looks),
        time_s=time_s,
    )


def _through(script: Script, plan: ExperimentPlan, folder: Path, **more: Any) -> FinishedExperiment:  # noqa: ANN401
    progress = Progress(console=Console(file=io.StringIO()))
    return Loop(script, plan, folder, progress, **more).run(script)


def _noisy(name: str, number: int) -> float:
    return 1.0 + 0.03 * (number % 3) * (1 if name == "new" else -1)


def test_every_block_is_done_where_nothing_decides(tmp_path: Path) -> None:
    """In the plan's order, and course.json says why it ended."""
    script = Script(values=_noisy)

    done = _through(script, _plan(5, (5,)), tmp_path)

    assert script.done == [(name, number) for number in range(1, 6) for name in ("base", "new")]
    assert done.stopped == "the budget is used up"
    assert documents.load_progress(tmp_path).stopped == done.stopped
    assert documents.load_progress(tmp_path).blocks == 5


def test_a_look_that_decides_ends_it(tmp_path: Path) -> None:
    """Twice the processor time is seen after four blocks; the others are saved."""
    script = Script(values=lambda name, number: (2.0 if name == "new" else 1.0) + 0.001 * number)

    done = _through(script, _plan(20, (4, 10, 20)), tmp_path)

    assert done.stopped == "decided"
    assert script.looked == [(4, 0.05 / 3)]
    assert [one.advice for one in documents.load_progress(tmp_path).looks] == ["decided"]


def test_a_block_that_would_not_fit_is_not_begun(tmp_path: Path) -> None:
    """20 s a block: three fit in 70 s."""
    script = Script(values=_noisy)

    done = _through(script, _plan(9, (9,), time_s=70), tmp_path)

    assert len(script.done) == 6
    assert done.stopped == "the budget of 70 s is used up"


def test_one_block_is_done_however_small_the_budget_of_time(tmp_path: Path) -> None:
    """Nobody knows how long a block takes before there was one."""
    script = Script()

    _through(script, _plan(9, (9,), time_s=1), tmp_path)

    assert len(script.done) == 2


def test_a_run_that_fails_is_an_ending_and_the_others_go_on(tmp_path: Path) -> None:
    """Also one of the base, and also a load that fell over."""
    fails = {("new", 1): NotReady("no"), ("base", 2): NotReady("no"), ("base", 3): LoadFailed("no")}
    script = Script(fails=fails)

    done = _through(script, _plan(4), tmp_path)

    assert len(script.done) == 8
    assert done.failure is None


def test_a_base_that_never_comes_up_ends_it_after_two_blocks(tmp_path: Path) -> None:
    """With its error, which has the exit code."""
    fails: dict[tuple[str, int], SeatrialError] = {("base", number): NotReady("no") for number in range(1, 9)}
    script = Script(fails=fails)

    done = _through(script, _plan(8), tmp_path)

    assert len(script.done) == 4
    assert isinstance(done.failure, NotReady)
    assert done.stopped == "the base never came up"


def test_a_base_that_fails_in_the_only_block_is_told(tmp_path: Path) -> None:
    """One block is all there is to try."""
    done = _through(Script(fails={("base", 1): NotReady("no")}), _plan(1), tmp_path)

    assert isinstance(done.failure, NotReady)


def test_a_base_that_failed_before_the_interruption_counts(tmp_path: Path) -> None:
    """Resumed after a first block without a base: the second such block is the last."""
    script = Script(fails={("base", 2): NotReady("no")})

    done = _through(script, _plan(8), tmp_path, finished={("base", 1), ("new", 1)}, base_failed={1})

    assert script.done == [("base", 2), ("new", 2)]
    assert isinstance(done.failure, NotReady)


@pytest.mark.parametrize("error", [EngineUnavailable("gone"), UsageError("no"), ResultsUnwritable("full")])
def test_what_would_fail_again_ends_it_at_once(tmp_path: Path, error: SeatrialError) -> None:
    """No further stack is tried without an engine, a disk, or a right usage."""
    script = Script(fails={("new", 1): error})

    with pytest.raises(type(error)):
        _through(script, _plan(8), tmp_path)

    assert script.done == [("base", 1)]


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    """Only the pairs that are left, in their order; looks that were taken are not taken twice."""
    script = Script(values=_noisy)
    course = documents.ExperimentProgress(
        blocks=2, looks=(documents.LookTaken(blocks=2, alpha=0.01, advice="go on"),), lasted_s=45.0
    )
    finished = {("base", 1), ("new", 1), ("base", 2), ("new", 2), ("new", 3)}

    _through(script, _plan(4, (2, 4), time_s=300), tmp_path, finished=finished, state=course)

    assert script.done == [("base", 3), ("base", 4), ("new", 4)]
    assert [blocks for blocks, _ in script.looked] == [2]
    assert documents.load_progress(tmp_path).lasted_s == pytest.approx(75)


def test_the_time_before_an_interruption_counts(tmp_path: Path) -> None:
    """A budget of time that is used up lets nothing more begin."""
    script = Script()

    done = _through(
        script, _plan(4, time_s=30), tmp_path, state=documents.ExperimentProgress(blocks=2, lasted_s=31)
    )

    assert script.done == []
    assert done.stopped == "the budget of 30 s is used up"


def test_only_planned_looks_are_taken_and_without_a_comparison_none_decides(tmp_path: Path) -> None:
    """A look after each block would raise a false alarm in one of six equal pairs."""
    script = Script()
    looked = []

    class Undecided(Loop):
        def compare(self, alpha: float) -> None:
            looked.append((len(script.done) // 2, alpha))

    loop = Undecided(script, _plan(6, (4, 6)), tmp_path, Progress(quiet=True))

    assert loop.run(script).stopped == "the budget is used up"
    assert looked == [(4, 0.025), (6, 0.025)]
    assert len(script.done) == 12


def test_the_line_of_progress_says_where_it_is() -> None:
    """Block, variant, and how long it may still take."""
    assert BlockTurn(number=2, of=6, variants=("a",), left_s=300).text("a") == "block 2 of 6 · 5 min left · a"
    assert BlockTurn(number=1, of=6, variants=("a",)).text("a") == "block 1 of 6 · a"


def test_a_base_whose_load_never_runs_ends_it_with_exit_code_4(tmp_path: Path) -> None:
    """Such as a locustfile with a mistake: the third block would fail as the first two did."""
    fails: dict[tuple[str, int], SeatrialError] = {("base", number): LoadFailed("no") for number in range(1, 9)}
    script = Script(fails=fails)

    done = _through(script, _plan(8), tmp_path)

    assert len(script.done) == 4
    assert done.failure is not None
    assert done.failure.exit_code == 4
    assert done.stopped == "the load of the base never came to its end"


@pytest.mark.parametrize("advice", [Next.DECIDED, Next.PRECISE, Next.FUTILE, Next.OVER])
def test_what_a_look_has_ended_is_not_gone_on_with(tmp_path: Path, advice: Next) -> None:
    """More blocks after a verdict would be a second chance for chance."""
    script, output = Script(), io.StringIO()
    course = documents.ExperimentProgress(blocks=2, stopped=advice.value, lasted_s=40.0)
    documents.save_progress(tmp_path, course)
    progress = Progress(console=Console(file=output, width=200))

    done = Loop(script, _plan(4, (2, 4)), tmp_path, progress, state=course).run(script)

    assert (script.done, script.looked, done.stopped) == ([], [], advice.value)
    assert f"it had ended before: {advice.value}" in output.getvalue()
    assert documents.load_progress(tmp_path) == course


def test_how_long_a_block_takes_is_known_after_an_interruption(tmp_path: Path) -> None:
    """Two blocks of 20 s are done of a budget of 55 s: a third would not fit, resumed or not."""
    first = Script(fails={("base", 3): UsageError("stop")})
    with pytest.raises(UsageError):
        _through(first, _plan(9), tmp_path)
    course = replace(documents.load_progress(tmp_path), lasted_s=40.0)
    script = Script()

    done = _through(script, _plan(9, time_s=55), tmp_path, state=course, finished=first.done)

    assert (script.done, done.stopped) == ([], "the budget of 55 s is used up")


def test_the_time_of_a_block_that_was_interrupted_counts(tmp_path: Path) -> None:
    """Else an experiment that is interrupted often lasts as long as it likes."""
    script = Script(fails={("new", 2): UsageError("stop")})

    with pytest.raises(UsageError):
        _through(script, _plan(9), tmp_path)

    assert documents.load_progress(tmp_path).lasted_s == 40
    assert documents.load_progress(tmp_path).blocks == 1


def test_why_it_had_ended_is_forgotten_where_it_goes_on(tmp_path: Path) -> None:
    """course.json must not say that it is over while it is not."""
    script = Script(fails={("base", 2): UsageError("stop")})
    course = documents.ExperimentProgress(blocks=0, stopped="the base never came up")

    with pytest.raises(UsageError):
        _through(script, _plan(9), tmp_path, state=course)

    assert documents.load_progress(tmp_path).stopped == ""
