"""The result of a search for capacity: bounds, validation, its word and exit code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from seatrial.compare.budgets import Kept
from seatrial.compare.capacity import TrialResult
from seatrial.errors import ExitCode
from seatrial.measure.growth import Slope

Status = Literal["complete", "interrupted"]


class Word(StrEnum):
    """The verdict on a capacity."""

    VALIDATED = "VALIDATED"
    NOT_VALIDATED = "NOT VALIDATED"
    NOT_DECIDED = "NOT DECIDED"
    BOUNDS_ONLY = "BOUNDS ONLY"
    NO_RATE = "NO RATE KEEPS THE BUDGETS"
    NO_BOUNDS = "NO BOUNDS"
    GENERATOR_LIMITED = "GENERATOR-LIMITED"
    INVALID = "INVALID"
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The verdict on one budget in the validation, in one sentence."""

    budget: str
    word: Kept
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The long window below the lower bound: its budgets and its memory.

    `invalid` is why the window can't be trusted, `saturated` how arrivals piled up in it; `strained` that the
    generator was late or busy although no budget broke: that can only have made the figures worse.
    """

    rate_per_s: float
    duration_s: float
    budgets: tuple[Said, ...] = ()
    memory: tuple[Slope, ...] = ()
    saturated: str = ""
    strained: str = ""
    invalid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carries:
    """The capacity of one variant: the highest rate that kept the budgets, and one that did not.

    `percentile` and `of` name the latency of the curve (`of` None: of all requests); `limited_by` is why the
    search did not come to its end, and `generator` whether that was the generator; `shared` names the cores that
    load and stack had in common. `search_s` is how long the trials took, with the rests between them. `flow_s` is
    how long one flow took where nothing queued (None: none ended), `too_high` the share by which the bounds may be
    above the truth because the trials are only a few flows long (`judge.backlog`); `silent` says that the stack
    did not answer. A search whose `status` is not `complete` was cut short: its bounds are those of single trials,
    and no result.
    """

    variant: str
    budgets: tuple[str, ...]
    percentile: int
    of: str | None
    lower_per_s: float | None
    upper_per_s: float | None
    trials: tuple[TrialResult, ...]
    search_s: float
    trial_s: float
    users: int
    limited_by: str = ""
    generator: bool = False
    shared: str = ""
    validation: Validation | None = None
    flow_s: float | None = None
    too_high: float = 0.0
    silent: str = ""
    status: Status = "complete"

    @property
    def word(self) -> Word:
        """The verdict, the gravest that holds."""
        validation = self.validation
        budgets = () if validation is None else tuple(budget.word for budget in validation.budgets)
        saturated = validation is not None and bool(validation.saturated)
        cases = (
            (self.status != "complete", Word.INTERRUPTED),
            (self.generator, Word.GENERATOR_LIMITED),
            (bool(self.silent), Word.INVALID),
            (validation is not None and bool(validation.invalid), Word.INVALID),
            (self.lower_per_s is None and self.upper_per_s is not None, Word.NO_RATE),
            (saturated or Kept.BROKEN in budgets, Word.NOT_VALIDATED),
            (None in (self.lower_per_s, self.upper_per_s) or bool(self.limited_by), Word.NO_BOUNDS),
            (validation is None, Word.BOUNDS_ONLY),
            (Kept.NOT_DECIDED in budgets, Word.NOT_DECIDED),
        )
        return next((word for holds, word in cases if holds), Word.VALIDATED)

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return what is said of it as a code; what was not decided counts if `strict`."""
        return EXIT_CODES.get(self.word, ExitCode.NOT_DECIDED if strict else ExitCode.KEPT)


EXIT_CODES = {
    Word.VALIDATED: ExitCode.KEPT,
    Word.BOUNDS_ONLY: ExitCode.KEPT,
    Word.NOT_VALIDATED: ExitCode.BROKEN,
    Word.NO_RATE: ExitCode.BROKEN,
    Word.GENERATOR_LIMITED: ExitCode.INVALID,
    Word.INVALID: ExitCode.INVALID,
    Word.INTERRUPTED: ExitCode.INVALID,
}
