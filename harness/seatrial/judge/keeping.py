"""Whether one run kept its budgets."""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.judge import budgets, within_run
from seatrial.judge.budgets import Budget, Judged
from seatrial.judge.measured import Tables


def of_run(asked: Sequence[Budget], tables: Tables) -> tuple[Judged, ...]:
    """Judge each budget by this run alone; one that is relative to the base is not decided then."""
    return tuple(
        budgets.judge_alone(one)
        if one.limit is None
        else budgets.judge(one, [within_run.reading(one.metric, tables)])
        for one in asked
    )
