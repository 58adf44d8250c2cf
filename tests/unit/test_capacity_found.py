"""What is said of a capacity, in which words, with which exit code, and stored how."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import comparisons
import factories
import pytest
from bokeh.models.annotations import BoxAnnotation
from click.testing import CliRunner
from comparisons import tried
from rich.console import Console

from seatrial import cli
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.capacity import BudgetVerdict, CapacityResult, Validation
from seatrial.errors import ExitCode, UsageError
from seatrial.measure.services import Growth, Slope
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.report import experiment_charts, html
from seatrial.report import text as text_report

MIB = 1 << 20


KEPT = BudgetVerdict(
    budget='p95 of "wait" < 100ms', word=BudgetWord.KEPT, text='p95 of "wait" < 100ms: kept: 25 ms'
)
GROWN = Slope(
    service="app",
    word=Growth.GROWING,
    seconds=59.9,
    level_bytes=50 * MIB,
    matters_bytes=MIB,
    per_s=0.1 * MIB,
    low=0.09 * MIB,
    high=0.12 * MIB,
)
VALIDATION = Validation(rate_per_s=92.0, duration_s=60.0, budgets=(KEPT,), memory=(GROWN,))
FOUND = replace(
    comparisons.carries("base", 97.0),
    upper_per_s=100.0,
    trials=(
        tried(97.0, excess=0.2, latency_ns=25_000_000),
        tried(100.0, excess=3.0, latency_ns=25_000_000),
        tried(50.0, excess=9.0, latency_ns=25_000_000, invalid="CPU at 100 %"),
    ),
    validation=VALIDATION,
)


def test_of_several_variants_the_gravest_decides() -> None:
    """An invalid measurement before a broken budget, that before what is not decided."""
    assert ExitCode.gravest([ExitCode.KEPT, ExitCode.BROKEN, ExitCode.INVALID]) == 5
    assert ExitCode.gravest([ExitCode.NOT_DECIDED, ExitCode.BROKEN, ExitCode.KEPT]) == 1
    assert ExitCode.gravest([ExitCode.NOT_DECIDED, ExitCode.KEPT]) == 7
    assert ExitCode.gravest([]) == 0
    assert [*ExitCode] == [130, 70, 2, 3, 4, 8, 5, 6, 1, 7, 0]


def test_what_was_found_can_be_read_again(tmp_path: Path) -> None:
    """All of it, with the word in plain JSON; an earlier version knew of no status, nor of flows."""
    folder = RunFolder(tmp_path)
    for found in (FOUND, replace(FOUND, validation=None, lower_per_s=None)):
        documents.save_capacity(folder, found)
        assert documents.load_capacity(folder) == found
    assert json.loads((tmp_path / "capacity.json").read_text())["word"] == "NO RATE KEEPS THE BUDGETS"
    told = json.loads((tmp_path / "capacity.json").read_text())
    for name in ("status", "flow_s", "too_high", "silent"):
        del told[name]
    (tmp_path / "capacity.json").write_text(json.dumps(told))
    assert documents.load_capacity(folder) == found


def test_show_begins_with_what_was_found(tmp_path: Path) -> None:
    """Or with how far the search came; the JSON has it, too."""
    folder = factories.sealed_run(tmp_path)
    documents.save_capacity(folder, replace(FOUND, status="interrupted", validation=None))
    command = ["show", str(folder.root), "--results", str(tmp_path)]

    text = CliRunner().invoke(cli.seatrial, command, standalone_mode=False).output
    values = CliRunner().invoke(cli.seatrial, [*command, "--json"], standalone_mode=False).output

    assert text.startswith(" INTERRUPTED  base: cut short after 3 trials")
    assert json.loads(values)["capacity"]["status"] == "interrupted"


def test_a_file_that_is_missing_torn_or_newer_is_told_apart(tmp_path: Path) -> None:
    """No search was made; or a clear error."""
    folder = RunFolder(tmp_path)
    assert documents.load_capacity(folder) is None
    for version, words in ((1, "can't be read"), (99, "newer")):
        (tmp_path / "capacity.json").write_text(json.dumps({"schema_version": version}))
        with pytest.raises(UsageError, match=words):
            documents.load_capacity(folder)


def _printed(*found: CapacityResult) -> str:
    stream = io.StringIO()
    text_report.show_capacities(found, Console(file=stream, width=120))
    return stream.getvalue()


def test_the_text_says_the_result_first_and_then_what_it_rests_on() -> None:
    """Word, bounds, validation; then trials, budgets, memory. Of several variants there is a table before."""
    text = _printed(replace(FOUND, shared="2 cores carry 1 load process and the stack"))
    lines = text.splitlines()

    assert lines[0] == " VALIDATED  base: 97/s keeps the budgets, 100/s does not; validated at 92/s for 60 s"
    assert lines[1].startswith("HOST-LIMITED: 2 cores carry")
    assert "invalid: CPU at 100 %" in text
    assert "broken: flows pile up" not in text
    piled = replace(FOUND, trials=(replace(FOUND.trials[1], piled=True),))
    assert "broken: flows pile up" in _printed(piled)
    assert "app: GROWING: 6.00 MiB a minute (95 %: 5.40 MiB to 7.20 MiB) on 50.0 MiB" in text

    lines = _printed(FOUND, replace(FOUND, variant="workers4", lower_per_s=195.0, upper_per_s=200.0)).splitlines()
    assert lines[0].split() == ["variant", "lower", "upper", "validated", "word"]
    assert lines[3].split() == ["workers4", "195/s", "200/s", "92/s", "VALIDATED"]


def _drawn(found: CapacityResult) -> tuple[dict[str, list[Any]], list[tuple[float, float]]]:
    """Return what the curve is drawn from, and which rates are shaded."""
    chart = experiment_charts.capacity_chart([found])
    assert chart is not None
    figure: Any = chart.figure
    return dict(figure.renderers[0].data_source.data), [
        (box.left, box.right) for box in figure.select(BoxAnnotation)
    ]


def test_the_curve_of_the_page_leaves_out_what_the_generator_spoiled() -> None:
    """By rate, with whether budgets were kept, and the capacity shaded; no curve where no trial was timed."""
    curve, shaded = _drawn(FOUND)

    assert (curve["rate"], curve["fill"]) == ([97.0, 100.0], [1.0, 0.0])
    assert curve["said"][0] == "base: 97.0/s, p95 of blob 25.0 ms"
    assert shaded == [(97.0, 100.0)]
    curve, shaded = _drawn(replace(FOUND, status="interrupted"))
    assert (len(curve["rate"]), shaded) == (2, [])
    untimed = replace(FOUND, trials=(replace(FOUND.trials[0], latency_ns=None),))
    assert experiment_charts.capacity_chart([untimed]) is None


def test_the_page_of_the_run_shows_the_capacity(tmp_path: Path) -> None:
    """From the stored file alone, above the tables of the validation."""
    folder = factories.sealed_run(tmp_path)
    assert "Capacity" not in html.run_page(folder)

    documents.save_capacity(folder, FOUND)
    page = html.run_page(folder)

    assert "VALIDATED: base: 97/s keeps the budgets" in page
    assert ">Capacity<" in page
    assert 'href="#verdicts"' not in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lower_per_s": None, "validation": None}, "no rate that was tried keeps the budgets"),
        ({"lower_per_s": None, "upper_per_s": None, "validation": None}, "nothing is known"),
        ({"upper_per_s": None, "limited_by": "nothing broke"}, "did not come to its end: nothing broke"),
        ({"validation": replace(VALIDATION, invalid="a restart")}, "can't be trusted: a restart"),
        ({"validation": replace(VALIDATION, saturated="300 of 500")}, "arrivals piled up: 300 of 500"),
        ({"lower_per_s": None, "validation": None, "silent": "it hung"}, "the stack did not answer: it hung"),
        ({"flow_s": 2.0, "too_high": 0.3}, "a flow takes 2 s, a trial 5 s: the bounds may be 30% too high"),
        (
            {"status": "interrupted", "validation": None},
            "cut short after 3 trials: 97/s kept the budgets, 100/s did not; that is no result",
        ),
        ({"generator": True, "limited_by": "CPU"}, "the load generator was the limit, not the stack: CPU"),
    ],
)
def test_every_reason_is_told(changes: dict[str, object], words: str) -> None:
    """In plain words."""
    assert words in " ".join(_printed(replace(FOUND, **changes)).split())  # type: ignore[arg-type]
