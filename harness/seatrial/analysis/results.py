"""A whole experiment as every form of its report shows it: text, JSON, Markdown, JUnit, HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seatrial.compare.budgets import Judged, Kept
from seatrial.compare.categories import FINISHED
from seatrial.compare.comparison import Comparison, Overall
from seatrial.compare.levels import Level
from seatrial.compare.noise import Floor
from seatrial.compare.pairing import Block, Run
from seatrial.errors import ExitCode
from seatrial.measure.metric import Metric
from seatrial.model import ExperimentPlan, Note

COMPARES = frozenset({"compare", "selfcheck"})
"""The commands whose runs say nothing alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The newest sealed run of one variant in one block.

    `run` is what is judged of it; `folder` its path, `began_ns` the wall clock at its start (None: not told),
    `readable` whether its tables can be read.
    """

    variant: str
    block: int
    run: Run
    folder: str
    began_ns: int | None = None
    notes: tuple[Note, ...] = ()
    error: str = ""
    readable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The stored experiment that stands for the base, and what differs: name, there, here."""

    experiment: str
    subject: tuple[tuple[str, str, str], ...] = ()
    environment: tuple[tuple[str, str, str], ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """All that is said about one experiment.

    `comparison` is None where there is nothing to compare, and `why_not` says why; `blocks` are those that are
    judged, numbered by `numbers`; `unfinished` the planned trials without a run that counts. `budgets` are judged
    for each variant. `metrics` are all that have values, by their text; `levels` what they were, by variant and
    text; `floors`, of a check of the machine with itself, what it can see. `commit` is that of the user's checkout
    (empty: not known), `notes` what could not be read. `stopped` says why the experiment
    ended, empty while it goes on.
    """

    name: str
    folder: str
    plan: ExperimentPlan
    comparison: Comparison | None
    why_not: str = ""
    blocks: Sequence[Block] = ()
    numbers: tuple[int, ...] = ()
    unfinished: tuple[tuple[str, int], ...] = ()
    taken: tuple[Taken, ...] = ()
    budgets: Mapping[str, tuple[Judged, ...]] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, Level]] = field(default_factory=dict)
    floors: tuple[Floor, ...] = ()
    against: Against | None = None
    commit: str = ""
    began_ns: int | None = None
    notes: tuple[str, ...] = ()
    stopped: str = ""

    @property
    def base(self) -> str:
        """The name of the side that the others are compared with."""
        return self.comparison.base if self.comparison else self.plan.base

    @property
    def word(self) -> str:
        """The whole in one or two words."""
        code, regressed = self.exit_code(strict=True), self._overall is Overall.REGRESSION
        words = {
            ExitCode.INVALID: Overall.INVALID,
            ExitCode.BROKEN: Overall.REGRESSION if regressed else "BUDGET BROKEN",
            ExitCode.NOT_DECIDED: Overall.INCONCLUSIVE,
        }
        return str(words.get(code, Overall.KEPT))

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return what comparison and budgets come to; what is not decided counts if `strict`."""
        budgets = {judged.word for each in self.budgets.values() for judged in each}
        if self._overall is Overall.INVALID:
            return ExitCode.INVALID
        if self._overall is Overall.REGRESSION or Kept.BROKEN in budgets:
            return ExitCode.BROKEN
        is_open = self._overall is Overall.INCONCLUSIVE or Kept.NOT_DECIDED in budgets
        return ExitCode.NOT_DECIDED if strict and is_open else ExitCode.KEPT

    @property
    def _overall(self) -> Overall:
        """What the comparison comes to; a run that needs none is KEPT if it can be trusted."""
        if self.comparison is not None:
            return self.comparison.overall
        return Overall.KEPT if self._alone() else Overall.INVALID

    def _alone(self) -> bool:
        """Tell whether this is a run that needs no other, and that can be trusted."""
        needs = self.plan.command in COMPARES or self.plan.against
        return not needs and any(
            not one.run.invalid and not one.error and one.run.ended == FINISHED for one in self.taken
        )
