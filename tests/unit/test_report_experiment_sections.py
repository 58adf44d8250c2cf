"""The report of an experiment as text: verdict, reasons, sections."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import experiments
import pytest
from click.testing import CliRunner, Result
from experiments import Truth, experiment
from rich.console import Console

from seatrial import cli
from seatrial.analysis.experiment import analyse
from seatrial.analysis.results import ExperimentResult
from seatrial.model import NoteKind
from seatrial.record import documents
from seatrial.record.documents import ExperimentProgress
from seatrial.report import ci_exports, experiment_sections, json_export, numbers, text

LONG = "GET /v2/library/very-long-repository-name/manifests"


def printed(result: ExperimentResult, width: int = 120) -> str:
    """Return the report in a terminal."""
    out = io.StringIO()
    text.show_experiment(result, Console(file=out, width=width))
    return out.getvalue()


def seatrial_show(folder: Path, *options: str) -> Result:
    """Run `seatrial show`."""
    argv = ["show", folder.name, "--results", str(folder.parent), *options]
    return CliRunner().invoke(cli.seatrial, argv, standalone_mode=False)


def test_text_has_verdict_gravest_reasons_and_every_section(everything_result: ExperimentResult) -> None:
    """Metrics of a killed variant that could not be judged share one sentence."""
    whole = printed(everything_result)
    lines = whole.splitlines()
    reasons = list(experiment_sections.reasons(everything_result))
    (unjudged,) = (reason for reason in reasons if reason.startswith("killed") and "INVALID" in reason)

    assert lines[0].split()[0] == "REGRESSION"
    assert lines[2].startswith("- killed: REGRESSION: killed for memory in 6 of 6")
    assert any(line.startswith("- flaky, failures: REGRESSION") for line in lines)
    assert unjudged.startswith('killed, failures, p95 of "blob", cpu per request, unreclaimable memory of nginx: ')
    for part in ("Verdicts", "Budgets", "Endings", "Left out", "Exploratory", "seed 7", "more: blocks"):
        assert part in whole


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_breaks_no_word(tmp_path: Path, width: int) -> None:
    """With long names neither words, nor numbers, nor a verdict are broken."""
    truths = {"base": Truth(endpoint=LONG), "gunicorn-gevent-4-workers-keepalive": Truth(endpoint=LONG)}
    result = analyse(experiment(tmp_path, truths, blocks=3, gate=(f'p95 of "{LONG}"', "cpu per request")))
    report = printed(result, width)
    tables = report[report.index("Verdicts") : report.index("How it was measured")]
    cells = (cell for row in experiment_sections.sections(result)[0].table.rows for cell in row)

    assert max(map(len, tables.splitlines())) <= width
    assert {word for cell in cells for word in cell.split()} <= set(tables.split())


@pytest.mark.parametrize("fails", [True, False], ids=["nothing to compare", "not decided"])
def test_why_an_experiment_ended_early_comes_first(tmp_path: Path, fails: bool) -> None:  # noqa: FBT001
    """In the text and in what Markdown does not fold."""
    changes: dict[str, Any] = {"status": "failed", "error": "the stack is not ready after 3 s", "spans": ()}
    truth = Truth(changes=changes) if fails else Truth()
    folder = experiment(tmp_path, {"base": truth, "again": truth}, blocks=2)
    documents.save_plan(folder, experiments.planned(experiments.SAME, 12))
    documents.save_progress(folder, ExperimentProgress(blocks=2, stopped="the budget is used up"))
    result = analyse(folder)
    why = "after 2 of 12 blocks: the budget is used up"

    assert result.word == ("INVALID" if fails else "INCONCLUSIVE")
    assert why in " ".join(printed(result).partition("How it was")[0].split())
    assert why in ci_exports.markdown(result).partition("<details>")[0]
    assert ("ended", why) in experiment_sections.how_measured(result)


def test_a_host_limited_comparison_says_so(tmp_path: Path) -> None:
    """Load and stack shared cores."""
    result = analyse(experiment(tmp_path, blocks=3, pinning={"generator": [0], "stack": [0]}))

    assert "HOST-LIMITED" in printed(result)
    assert "HOST-LIMITED" in ci_exports.markdown(result)


def test_an_inconclusive_verdict_says_what_would_decide(tmp_path: Path) -> None:
    """The smallest effect that could be seen, and how many more blocks are needed."""
    noisy = {"base": Truth(scatter=0.08), "again": Truth(scatter=0.08)}
    whole = " ".join(printed(analyse(experiment(tmp_path, noisy, blocks=4))).split())

    for part in ("INCONCLUSIVE", "can only see", "more blocks would decide"):
        assert part in whole


def test_an_equivalent_verdict_shows_the_interval_that_it_rests_on(tmp_path: Path) -> None:
    """That of the two one-sided tests; JSON has both."""
    result = analyse(experiment(tmp_path, blocks=5))
    table = experiment_sections.sections(result)[0].table
    row = dict(zip((column.head for column in table.columns), table.rows[1], strict=True))
    (value,) = (each for each in json_export.experiment_json(result)["gated"] if each["metric"] == row["metric"])

    assert row["verdict"] == value["word"] == "EQUIVALENT"
    assert value["low"] < value["equal_low"] < value["equal_high"] < value["high"]
    assert row["interval"] == numbers.between(value["equal_low"], value["equal_high"])


def test_a_saturated_variant_is_a_regression_by_its_endings(tmp_path: Path) -> None:
    """That it did not keep up is an outcome."""
    note = {"notes": (experiments.note(NoteKind.SATURATED, "80 % completed"),)}
    result = analyse(experiment(tmp_path, {"base": Truth(), "late": Truth(changes=note)}))

    assert "late: REGRESSION: did not keep up with the rate in 6 of 6" in " ".join(printed(result).split())


def plain_run(tmp_path: Path, budgets: tuple[str, ...], fails: int = 0) -> Path:
    """Make an experiment of one plain run with budgets."""
    scenario = {"question": "?", "tiers": {"nginx": "proxy"}, "load": {"users": 1}, "budgets": list(budgets)}
    truth = Truth(fails=fails, changes={"scenario": scenario})
    return experiment(tmp_path, {"base": truth}, blocks=1, command="run", budgets=budgets)


def test_a_plain_run_shows_its_broken_budget_first(tmp_path: Path) -> None:
    """In text, JSON and exit code; budgets may be kept, broken or not decided."""
    budgets = ('p95 of "blob" < 1s', "failures < 0.1%", 'p99 of "blob" within 10% of base')
    folder = plain_run(tmp_path, budgets, fails=5)
    shown, values = seatrial_show(folder), seatrial_show(folder, "--json")
    lines = shown.output.splitlines()

    assert (shown.return_value, values.return_value) == (1, 1)
    assert lines[0].split()[:2] == ["BUDGET", "BROKEN"]
    assert lines[0].endswith("1 user")
    assert lines[2].startswith("failures < 0.1%: broken")
    words = [budget["word"] for budget in json.loads(values.output)["budgets"]]
    assert words == ["kept", "broken", "not decided"]


def test_a_plain_run_that_keeps_its_budgets_counts_them(tmp_path: Path) -> None:
    """It needs no sentence about a comparison."""
    result = analyse(plain_run(tmp_path, ('p95 of "blob" < 1s', "failures < 5%")))

    assert list(experiment_sections.reasons(result)) == ["2 of 2 budgets kept"]


def test_an_undecided_budget_counts_under_strict(tmp_path: Path) -> None:
    """Exit code 7."""
    folder = plain_run(tmp_path, ('p99 of "blob" within 10% of base',))

    assert [seatrial_show(folder, *options).return_value for options in ((), ("--strict",))] == [0, 7]


@pytest.mark.parametrize("form", ["text", *ci_exports.FORMS])
def test_show_prints_every_form(everything: Path, form: str) -> None:
    """From the stored tables, with the exit code of the comparison."""
    done = seatrial_show(everything, "--format", form)

    assert done.exception is None
    assert done.return_value == 1
    assert len(done.output) > 100


def test_show_prints_one_run_of_a_comparison(everything: Path) -> None:
    """As a plain run."""
    done = seatrial_show(everything / "runs" / next((everything / "runs").glob("*-base-b1")).name)

    assert done.exception is None
    assert "Requests" in done.output
