"""`selfcheck`: a threshold below what a machine can show is refused with the smallest that it can."""

from pathlib import Path

import pytest
from experiments import Truth, experiment

from seatrial.analysis.experiment import analyse
from seatrial.commands.runs import report_unseen_thresholds


@pytest.mark.parametrize(("scatter", "code"), [(0.001, 0), (0.3, 7)])
def test_a_noisy_machine_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scatter: float, code: int
) -> None:
    """Exit code 7, each refusal on a line; metrics outside the gate decide nothing."""
    truths = {name: Truth(scatter=scatter) for name in ("base", "again")}
    result = analyse(experiment(tmp_path, truths, command="selfcheck", gate=('p95 of "blob" within 5%',)))

    assert report_unseen_thresholds(result) == code

    errors = capsys.readouterr().err
    assert errors.count("the smallest that can is") == (1 if code else 0)
    assert 'p95 of "blob": a threshold of 5 %' in errors or not code
