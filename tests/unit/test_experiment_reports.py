"""One experiment in every form: the same numbers, each in a shape that its readers take."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import experiments
import json_schema
import pytest
from click.testing import CliRunner
from experiments import Truth, experiment
from rich.console import Console

from seatrial import cli
from seatrial.analysis.experiment import analyse
from seatrial.analysis.results import ExperimentResult
from seatrial.experiment import maintenance
from seatrial.model import NoteKind
from seatrial.record import documents
from seatrial.record.documents import ExperimentProgress
from seatrial.record.folder import RunFolder
from seatrial.report import ci_exports, experiment_sections, html, json_export, numbers
from seatrial.report import text as text_report

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "verdict.schema.json").read_text())
LONG = "GET /v2/library/very-long-repository-name/manifests"
HOSTILE = "a|b</script><b>"
TRUTHS = {
    "base": Truth(),
    "slow": Truth(took_ms=26),
    "flaky": Truth(fails=3, took_ms=15),
    "killed": Truth(changes={"status": "failed", "error": "service 'app' exited: out of memory", "spans": ()}),
    HOSTILE: Truth(took_ms=20.4, scatter=0.08),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an experiment in which everything happens."""
    return experiment(tmp_path_factory.mktemp("results"), TRUTHS, spoiled=[("slow", 4)])


@pytest.fixture(scope="module")
def weighed(folder: Path) -> ExperimentResult:
    """Weigh it once."""
    return analyse(folder)


def printed(weighed: ExperimentResult, width: int = 120) -> str:
    """Return what a terminal would show."""
    out = io.StringIO()
    text_report.show_experiment(weighed, Console(file=out, width=width))
    return out.getvalue()


def test_text_begins_with_the_verdict(weighed: ExperimentResult) -> None:
    """Who reads one line has read what it came to; what is gravest comes next."""
    lines = printed(weighed).splitlines()

    assert lines[0].split()[0] == "REGRESSION"
    assert lines[2].startswith("- killed: REGRESSION: killed for memory in 6 of 6")
    assert any(line.startswith("- flaky, failures: REGRESSION") for line in lines)


@pytest.mark.parametrize(
    "words", ["Verdicts", "Budgets", "Endings", "Left out", "Exploratory", "seed 7", "more: blocks"]
)
def test_text_has_every_part(weighed: ExperimentResult, words: str) -> None:
    """What was not used, what is only to look at, and how it was measured."""
    assert words in printed(weighed)


def test_text_in_a_narrow_terminal(weighed: ExperimentResult) -> None:
    """Eighty columns are enough for the words of the verdict."""
    assert "LIKELY" not in printed(weighed, 80) or max(map(len, printed(weighed, 80).splitlines())) <= 80
    assert "EQUIVALENT" in printed(weighed, 80)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_breaks_no_word(tmp_path: Path, width: int) -> None:
    """With names as people have them: neither words, nor numbers, nor a verdict are broken in two."""
    truths = {"base": Truth(endpoint=LONG), "gunicorn-gevent-4-workers-keepalive": Truth(endpoint=LONG)}
    found = analyse(experiment(tmp_path, truths, blocks=3, gate=(f'p95 of "{LONG}"', "cpu per request")))
    shown = printed(found, width)
    tables = shown[shown.index("Verdicts") : shown.index("How it was measured")]
    cells = (cell for row in experiment_sections.sections(found)[0].table.rows for cell in row)

    assert max(len(line) for line in tables.splitlines()) <= width
    assert {word for cell in cells for word in cell.split()} <= set(tables.split())


def test_what_could_not_be_judged_is_told_once(weighed: ExperimentResult) -> None:
    """Five metrics of a variant that was killed are one sentence."""
    said = [one for one in experiment_sections.reasons(weighed) if one.startswith("killed") and "INVALID" in one]

    assert len(said) == 1
    assert said[0].startswith('killed, failures, p95 of "blob", cpu per request, unreclaimable memory of nginx: ')


@pytest.mark.parametrize("form", ["text", "markdown", "page"])
def test_why_it_ended_is_said(tmp_path: Path, form: str) -> None:
    """Where nothing could be judged, what ended it is the answer to why."""
    failed = Truth(changes={"status": "failed", "error": "the stack is not ready after 3 s", "spans": ()})
    folder = experiment(tmp_path, {"base": failed, "again": failed}, blocks=3)
    documents.save_plan(folder, experiments.planned({"base": failed, "again": failed}, 5))
    documents.save_progress(folder, ExperimentProgress(blocks=3, stopped="the base never came up"))
    found = analyse(folder)

    text = {
        "text": lambda: " ".join(printed(found).partition("How it was")[0].split()),
        "markdown": lambda: ci_exports.markdown(found).partition("<details>")[0],
        "page": lambda: html.write_experiment(found, folder).read_text(encoding="utf-8").partition("<h2")[0],
    }[form]()

    assert "after 3 of 5 blocks: the base never came up" in text


def test_an_open_comparison_says_why_it_ended(tmp_path: Path) -> None:
    """`INCONCLUSIVE` after two of twelve blocks: the budget of time is the reason."""
    folder = experiment(tmp_path, blocks=2)
    documents.save_plan(folder, experiments.planned(experiments.SAME, 12))
    documents.save_progress(folder, ExperimentProgress(blocks=2, stopped="the budget of 10 min is used up"))
    found = analyse(folder)

    assert found.word == "INCONCLUSIVE"
    assert (
        next(iter(experiment_sections.reasons(found)))
        == "it ended after 2 of 12 blocks: the budget of 10 min is used up"
    )
    assert ("ended", "after 2 of 12 blocks: the budget of 10 min is used up") in experiment_sections.how_measured(
        found
    )


def test_host_limited_is_said(tmp_path: Path) -> None:
    """On two cores the report says what it can't say."""
    found = analyse(experiment(tmp_path, blocks=3, pinning={"generator": [0], "stack": [0]}))

    assert "HOST-LIMITED" in printed(found)
    assert "HOST-LIMITED" in ci_exports.markdown(found)


def test_inconclusive_says_what_it_takes(tmp_path: Path) -> None:
    """How small an effect could have been seen, and how many more blocks would decide."""
    noisy = {"base": Truth(scatter=0.08), "again": Truth(scatter=0.08)}

    text = " ".join(printed(analyse(experiment(tmp_path, noisy, blocks=4))).split())

    assert "INCONCLUSIVE" in text
    assert "can only see" in text
    assert "more blocks would decide" in text


def test_what_is_equal_is_shown_with_the_interval_that_says_so(tmp_path: Path) -> None:
    """In the table that of the two one-sided tests; verdict.json has both."""
    found = analyse(experiment(tmp_path, blocks=5))
    table = experiment_sections.sections(found)[0].table
    row = dict(zip((column.head for column in table.columns), table.rows[1], strict=True))
    (value,) = (one for one in json_export.experiment_json(found)["gated"] if one["metric"] == row["metric"])

    assert row["verdict"] == value["word"] == "EQUIVALENT"
    assert value["low"] < value["equal_low"] < value["equal_high"] < value["high"]
    assert row["interval"] == numbers.between(value["equal_low"], value["equal_high"])


def test_json_keeps_its_schema(weighed: ExperimentResult, tmp_path: Path) -> None:
    """A program that was written against the schema goes on working; of other kinds of experiment, too."""
    kinds = [weighed, analyse(experiment(tmp_path / "check", blocks=3, command="selfcheck"))]
    kinds.append(analyse(experiment(tmp_path / "run", {"base": Truth()}, blocks=1, command="run")))
    stored = experiment(tmp_path / "old", {"base": Truth()}, blocks=2, command="run")
    kinds.append(analyse(experiment(tmp_path / "new", {"head": Truth()}, blocks=2, against=str(stored))))

    assert [list(json_schema.problems(json.loads(json_export.text(one)), SCHEMA)) for one in kinds] == [[]] * 4


def test_the_schema_refuses_what_is_wrong(weighed: ExperimentResult) -> None:
    """Else the test above could not fail."""
    values = json_export.experiment_json(weighed)

    assert list(json_schema.problems({**values, "verdict": "GOOD"}, SCHEMA))
    assert list(json_schema.problems({**values, "more": 1}, SCHEMA))
    assert list(json_schema.problems({name: one for name, one in values.items() if name != "runs"}, SCHEMA))


def test_markdown_begins_with_the_verdict_and_folds_the_rest(weighed: ExperimentResult) -> None:
    """A pull request shows the words; whoever wants more unfolds it."""
    text = ci_exports.markdown(weighed)

    assert text.startswith("## ❌ REGRESSION: made-up")
    assert text.index("| variant |") < text.index("<details>")
    assert text.count("<details>") == text.count("</details>")
    assert HOSTILE not in text


@pytest.mark.parametrize("most_bytes", [700, 3000, 6000])
def test_markdown_is_cut_before_it_is_refused(weighed: ExperimentResult, most_bytes: int) -> None:
    """GitHub drops a summary that is too long as a whole."""
    text = ci_exports.markdown(weighed, most_bytes)

    assert len(text.encode()) <= most_bytes
    assert text.count("<details>") == text.count("</details>")
    assert "verdict.json" in text


def test_junit_fails_for_regressions_alone(weighed: ExperimentResult) -> None:
    """INVALID is an error, what is not decided is skipped with its reason."""
    cases = list(ET.fromstring(ci_exports.junit(weighed)).iter("testcase"))  # noqa: S314  (our own)
    came = {(one.get("classname"), one.get("name")): one[0] for one in cases}

    assert came["made-up.slow", 'p95 of "blob"'].tag == "failure"
    assert came["made-up.killed", "runs come to their end"].tag == "failure"
    assert came["made-up.killed", 'p95 of "blob"'].tag == "error"
    skipped = came["made-up.flaky", 'p95 of "blob"']
    assert (skipped.tag, "fails more" in (skipped.get("message") or "")) == ("skipped", True)


def test_junit_has_the_order_of_the_common_schema(weighed: ExperimentResult) -> None:
    """Properties before cases; in a case its result before what it printed; counts that add up."""
    suite = ET.fromstring(ci_exports.junit(weighed))[0]  # noqa: S314  (our own)
    tags = [one.tag for one in suite]
    cases = [[inner.tag for inner in one] for one in suite.iter("testcase")]

    assert tags == ["properties"] + ["testcase"] * (len(tags) - 1)
    assert all(one[-1] == "system-out" and len(one) <= 2 for one in cases)
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(name) == str(sum(tag in one for one in cases))
    assert suite.get("tests") == str(len(cases))


def test_junit_of_text_that_xml_can_not_hold(weighed: ExperimentResult) -> None:
    """A control character in an error message breaks no upload."""
    bad = replace(weighed, plan=replace(weighed.plan, scenario="a\x00b"))

    assert ET.fromstring(ci_exports.junit(bad)).tag == "testsuites"  # noqa: S314  (our own)


def test_benchmark_has_ranges_and_nothing_of_which_more_is_better(tmp_path: Path) -> None:
    """The chart page draws every value as smaller is better."""
    found = analyse(experiment(tmp_path, blocks=3, gate=("throughput", 'p95 of "blob"')))
    rows: list[dict[str, Any]] = json.loads(ci_exports.benchmark(found))

    assert {one["name"] for one in rows} == {
        f"{name}: {metric}" for name in ("base", "again") for metric in ('p95 of "blob"', "failures")
    }
    assert all(set(one) == {"name", "unit", "value", "range", "extra"} for one in rows)
    assert 20 < rows[0]["value"] < 40


def test_csv_has_a_row_for_each_block(weighed: ExperimentResult) -> None:
    """Time and commit, then a column for each figure; what was not used is empty."""
    rows = list(csv.DictReader(io.StringIO(ci_exports.changes(weighed))))

    assert len(rows) == 6
    assert rows[0]["time"] == "2026-11-21T06:16:00Z"
    assert rows[0]["commit"] == "c" * 40
    assert float(rows[0]["base_p95_of_blob_ns"]) > 1e7
    assert rows[3]["slow_p95_of_blob_ns"] == ""


@pytest.mark.parametrize("form", ["text", *ci_exports.FORMS])
def test_show_prints_every_form(folder: Path, form: str) -> None:
    """From the stored tables alone, with the exit code of the comparison."""
    done = CliRunner().invoke(
        cli.seatrial,
        ["show", folder.name, "--results", str(folder.parent), "--format", form],
        standalone_mode=False,
    )

    assert done.exception is None
    assert done.return_value == 1
    assert len(done.output) > 100


def test_show_of_one_run_of_it(folder: Path) -> None:
    """A run of a comparison can still be looked at alone, and be turned into JUnit."""
    run = next((folder / "runs").glob("*-base-b1"))
    done = CliRunner().invoke(
        cli.seatrial, ["show", str(run), "--results", str(folder.parent)], standalone_mode=False
    )

    assert done.exception is None
    assert "Requests" in done.output


def test_list_tells_a_comparison_in_one_line(folder: Path) -> None:
    """Thirty runs of one experiment are one thing."""
    ci_exports.save(analyse(folder), folder)

    rows = maintenance.list_runs(folder.parent)

    assert [(row["run"], row["variant"], row["status"]) for row in rows] == [
        (folder.name, "5 variants", "REGRESSION")
    ]


def test_the_page_has_every_variant_over_time(folder: Path, weighed: ExperimentResult, tmp_path: Path) -> None:
    """One representative run of each that was measured, and it says which; nothing is taken for HTML."""
    text = html.write_experiment(weighed, folder, tmp_path / "page.html").read_text(encoding="utf-8")

    assert text.index("REGRESSION") < text.index("<script")
    assert 'id="chart-latency-0"' in text
    assert "runs that with the middle value of p95" in text
    assert HOSTILE not in text
    assert "1 of 6 blocks is not used" in text


def test_the_page_tells_how_each_shown_run_was_measured(
    folder: Path, weighed: ExperimentResult, tmp_path: Path
) -> None:
    """The generator's health stands there in words, and so does what grey on the time axis means."""
    text = html.write_experiment(weighed, folder, tmp_path / "page.html").read_text(encoding="utf-8")

    assert text.count("How this run was measured") == len(TRUTHS) - 1
    assert "loop lag p99 at most" in text
    assert "Grey is outside of the window (warm-up, drain). Drag" in " ".join(text.split())


def test_the_page_of_what_can_not_be_compared(tmp_path: Path) -> None:
    """Without one run that was judged there are words, and no traceback."""
    failed = Truth(changes={"status": "failed", "error": "the stack is not ready after 3 s", "spans": ()})
    folder = experiment(tmp_path, {"base": failed, "again": failed}, blocks=2)
    found = analyse(folder)

    assert found.exit_code() == 5
    assert "the base never finished" in printed(found) or "never became ready" in printed(found)
    assert "INVALID" in html.write_experiment(found, folder).read_text(encoding="utf-8")


def test_budgets_of_a_plain_run(tmp_path: Path) -> None:
    """Kept, broken, or not decided: in the text, in JSON, and in the exit code."""
    budgets = ['p95 of "blob" < 1s', "failures < 0.1%", 'p99 of "blob" within 10% of base']
    scenario = {"question": "?", "tiers": {"nginx": "proxy"}, "load": {"users": 8}, "budgets": budgets}
    folder = experiment(
        tmp_path, {"base": Truth(fails=5, changes={"scenario": scenario})}, blocks=1, command="run"
    )
    argv = ["show", folder.name, "--results", str(folder.parent)]

    text = CliRunner().invoke(cli.seatrial, argv, standalone_mode=False)
    values = CliRunner().invoke(cli.seatrial, [*argv, "--json"], standalone_mode=False)

    assert (text.return_value, values.return_value) == (1, 1)
    assert [one["word"] for one in json.loads(values.output)["budgets"]] == ["kept", "broken", "not decided"]
    assert "BROKEN" in text.output


def _run_with(tmp_path: Path, budgets: tuple[str, ...], **truth: Any) -> Path:  # noqa: ANN401  (fields of Truth)
    scenario = {"question": "?", "load": {"users": 1}, "budgets": list(budgets)}
    run = Truth(**truth, changes={"scenario": scenario})
    return experiment(tmp_path, {"base": run}, blocks=1, command="run", budgets=budgets)


def test_markdown_of_a_plain_run_names_the_broken_budget(tmp_path: Path) -> None:
    """In the open, before anything that is folded: a summary that hides it says nothing."""
    folder = _run_with(tmp_path, ('p95 of "blob" < 1s', "failures < 0.1%"), fails=5)
    seen, _, folded = ci_exports.markdown(analyse(folder)).partition("<details>")

    assert seen.startswith("## ❌ BUDGET BROKEN: made-up · run · 1 variant · 1 of 1 block")
    assert "- base: failures \\< 0.1%: broken: 4.69 %" in seen
    assert "| verdict | variant | budget | measured |" in seen
    assert "| BROKEN | base | failures \\< 0.1% |" in seen
    assert "not compared" not in seen
    assert "BROKEN" not in folded


def test_junit_of_a_plain_run_names_the_broken_budget(tmp_path: Path) -> None:
    """The case has the budget's name, and the failure what was measured."""
    folder = _run_with(tmp_path, ("failures < 0.1%",), fails=5)
    cases = list(ET.fromstring(ci_exports.junit(analyse(folder))).iter("testcase"))  # noqa: S314  (our own)
    failed = [(one.get("name"), one[0].get("message") or "") for one in cases if one[0].tag == "failure"]

    assert [name for name, _ in failed] == ["budget: failures < 0.1%"]
    assert failed[0][1].startswith("failures < 0.1%: broken: 4.69 %")


def test_a_run_that_breaks_a_budget_says_so_first(tmp_path: Path) -> None:
    """VALID would be read as good; of many budgets the broken one is named."""
    folder = _run_with(tmp_path, ('p95 of "blob" < 1s', "failures < 0.1%"), fails=5)
    argv = ["show", folder.name, "--results", str(folder.parent)]
    lines = CliRunner().invoke(cli.seatrial, argv, standalone_mode=False).output.splitlines()
    run = RunFolder(next((folder / "runs").glob("*")))

    assert lines[0].split()[:2] == ["BUDGET", "BROKEN"]
    assert "1 user" in lines[0]
    assert lines[2].startswith("failures < 0.1%: broken")
    assert '<strong class="bad">BUDGET BROKEN</strong>' in html.run_page(run)


def test_budgets_that_are_all_kept_are_counted(tmp_path: Path) -> None:
    """A plain run that keeps what it should needs no word about a comparison."""
    found = analyse(_run_with(tmp_path, ('p95 of "blob" < 1s', "failures < 5%")))

    assert list(experiment_sections.reasons(found)) == ["2 of 2 budgets kept"]


def test_strict_asks_for_a_decision(tmp_path: Path) -> None:
    """A budget that one run can't decide is 7 under --strict, and 0 without."""
    scenario = {"question": "?", "load": {"users": 8}, "budgets": ['p99 of "blob" within 10% of base']}
    folder = experiment(tmp_path, {"base": Truth(changes={"scenario": scenario})}, blocks=1, command="run")
    argv = ["show", folder.name, "--results", str(folder.parent)]

    codes = [
        CliRunner().invoke(cli.seatrial, one, standalone_mode=False).return_value
        for one in (argv, [*argv, "--strict"])
    ]

    assert codes == [0, 7]


def test_a_saturated_run_tells_no_latency(tmp_path: Path) -> None:
    """What piled up is an outcome of the variant, and none of its figures is compared."""
    note = {"notes": (experiments.note(NoteKind.SATURATED, "80 % completed"),)}
    found = analyse(experiment(tmp_path, {"base": Truth(), "late": Truth(changes=note)}))

    assert "late: REGRESSION: did not keep up with the rate in 6 of 6" in " ".join(printed(found).split())
