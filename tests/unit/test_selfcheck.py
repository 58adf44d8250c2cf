"""A threshold that a machine can't see is refused with the number that it can."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments import Truth, experiment

from seatrial.analysis.experiment import analyse
from seatrial.commands.runs import unseen


@pytest.mark.parametrize(("scatter", "code"), [(0.001, 0), (0.3, 7)])
def test_a_noisy_machine_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scatter: float, code: int
) -> None:
    """Exit code 7, each refusal on a line; of the gate only: what is just shown decides nothing."""
    truths = {name: Truth(scatter=scatter) for name in ("base", "again")}
    weighed = analyse(experiment(tmp_path, truths, command="selfcheck", gate=('p95 of "blob" within 5%',)))

    assert unseen(weighed) == code

    said = capsys.readouterr().err
    assert said.count("the smallest that can is") == (1 if code else 0)
    assert 'p95 of "blob": a threshold of 5 %' in said or not code
