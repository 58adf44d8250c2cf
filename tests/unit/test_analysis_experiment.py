"""Analysis of an experiment: from stored runs whose truth is known to comparison, budgets and reasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import experiments
import factories
import pytest
from experiments import Truth, experiment

from seatrial.analysis.experiment import analyse, confidence_alpha
from seatrial.analysis.results import ExperimentResult
from seatrial.analysis.run import analyse_run
from seatrial.analysis.stored_runs import KILLED
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.comparison import Overall
from seatrial.compare.verdicts import Verdict, Word
from seatrial.errors import UsageError
from seatrial.model import Look, NoteKind, Phase, Span
from seatrial.record import documents
from seatrial.record.folder import RunFolder

P95 = 'p95 of "blob"'
KEPT, BROKEN, NOT_DECIDED = BudgetWord.KEPT, BudgetWord.BROKEN, BudgetWord.NOT_DECIDED
NEVER_READY = {"status": "failed", "error": "the stack is not ready after 3 s", "spans": ()}


def verdict(result: ExperimentResult, variant: str, metric: str) -> Verdict:
    """Return the verdict on one gated metric."""
    assert result.comparison
    return next(each for each in result.comparison.gated if (each.variant, each.metric.text) == (variant, metric))


def budget_words(result: ExperimentResult, variant: str) -> list[BudgetWord]:
    """Return the words of a variant's budgets."""
    return [budget.word for budget in result.budgets[variant]]


def progress(folder: Path, planned: int, done: int, stopped: str) -> Path:
    """Write that an experiment of so many planned blocks was stopped."""
    documents.save_plan(folder, replace(documents.load_plan(folder), blocks=(("base", "again"),) * planned))
    documents.save_progress(folder, documents.ExperimentProgress(blocks=done, stopped=stopped))
    return folder


def test_a_slower_variant_is_a_regression(tmp_path: Path) -> None:
    """From tables to the exit code, with the planted effect within the interval."""
    result = analyse(experiment(tmp_path, {"base": Truth(), "slow": Truth(took_ms=26)}))
    slow = verdict(result, "slow", P95)

    assert slow.word is Word.REGRESSION
    assert (slow.low or 1) < 0.3 < (slow.high or 0)
    assert (result.word, result.exit_code()) == ("REGRESSION", 1)
    assert verdict(result, "slow", "cpu per request").word is not Word.REGRESSION


def test_equal_variants_are_kept_and_need_no_reason(tmp_path: Path) -> None:
    """Without any scatter nothing is divided by zero; a look that decides ends an experiment as it should."""
    same = {"base": Truth(scatter=0, requests=1000), "again": Truth(scatter=0, requests=1000)}
    result = analyse(progress(experiment(tmp_path, same), 8, 6, "decided"))

    assert (result.word, result.exit_code(strict=True)) == ("KEPT", 0)
    assert result.comparison
    assert result.comparison.reason == ""


def test_one_block_decides_nothing(tmp_path: Path) -> None:
    """Only --strict makes that an exit code."""
    result = analyse(experiment(tmp_path, {"base": Truth(), "slow": Truth(took_ms=80)}, blocks=1, budgets=()))

    assert result.comparison
    assert result.comparison.overall is Overall.INCONCLUSIVE
    assert (result.exit_code(), result.exit_code(strict=True)) == (0, 7)


def test_a_variant_whose_requests_all_failed_has_no_latency(tmp_path: Path) -> None:
    """Failures decide; latency is invalid, and its budgets are broken."""
    result = analyse(experiment(tmp_path, {"base": Truth(), "dead": Truth(fails=100)}))

    assert verdict(result, "dead", "failures").word is Word.REGRESSION
    assert verdict(result, "dead", P95).word is Word.INVALID
    assert budget_words(result, "dead") == [BROKEN, BROKEN]


@pytest.mark.parametrize("disturbed", ["spoiled", "crowded"])
def test_a_disturbed_block_is_left_out(tmp_path: Path, disturbed: str) -> None:
    """A busy generator and other programs on the host invalidate a run; with two of six the rest is too little."""
    truths = {"base": Truth(), "slow": Truth(took_ms=26)}
    changes: list[dict[str, Any]] = [{disturbed: [("slow", 2)]}, {disturbed: [("slow", 2), ("base", 5)]}]
    one, two = (analyse(experiment(tmp_path / str(n), truths, **each)) for n, each in enumerate(changes))

    assert verdict(one, "slow", P95).blocks == 5
    assert [run.block for run in one.runs if run.measured.invalid] == [2]
    assert (two.word, two.exit_code()) == ("INVALID", 5)


def test_a_variant_that_is_killed_each_time_is_a_regression(tmp_path: Path) -> None:
    """How runs end is an outcome, though nothing was measured."""
    error = "the front door 'nginx' is not running\n  seen: exited (137)"
    killed = Truth(changes={"status": "failed", "error": error, "spans": ()})
    result = analyse(experiment(tmp_path, {"base": Truth(), "small": killed}))

    assert result.comparison
    assert result.comparison.endings[0].counts == {KILLED: 6}
    assert result.exit_code() == 1


def test_only_whole_blocks_are_compared(tmp_path: Path) -> None:
    """An interrupted run does not count, nor do the others of its block."""
    folder = experiment(tmp_path, blocks=3)
    documents.save_plan(folder, replace(documents.load_plan(folder), blocks=(("base", "again"),) * 4))
    experiments.run(folder, "base", 4, Truth())
    experiments.run(folder, "again", 4, Truth(changes={"status": "interrupted"}))
    result = analyse(folder)

    assert result.numbers == (1, 2, 3)
    assert result.unfinished == (("again", 4),)


def test_before_the_first_block_has_ended_there_is_no_comparison(tmp_path: Path) -> None:
    """The result says so, and which folders can't be read."""
    folder = experiment(tmp_path, blocks=1)
    for run in (folder / "runs").iterdir():
        (run / "run.json").unlink()
    result = analyse(folder)

    assert (result.comparison, result.why_not) == (None, "no block has come to its end yet")
    assert (result.word, result.exit_code()) == ("INVALID", 5)
    assert len(result.notes) == 2


def test_a_plan_is_needed_and_its_rules_must_be_readable(tmp_path: Path) -> None:
    """Both are errors of usage."""
    with pytest.raises(UsageError, match=r"no plan\.json"):
        analyse(tmp_path)
    with pytest.raises(UsageError, match=r"a rule of plan\.json can't be read"):
        analyse(experiment(tmp_path, blocks=1, gate=("p12 of x",)))


def test_shared_cores_are_known_from_the_runs(tmp_path: Path) -> None:
    """Then latency is no gate, and no budget relative to the base is decided by it; absolute ones are."""
    budgets = ('p95 of "blob" < 150ms', 'p95 of "blob" within 50% of base', "cpu per request within 50% of base")
    pinning = {"generator": [0, 1], "stack": [0, 1]}
    result = analyse(experiment(tmp_path, budgets=budgets, pinning=pinning))

    assert result.comparison
    assert result.comparison.host_limited
    assert P95 in {each.metric.text for each in result.comparison.exploratory}
    assert budget_words(result, "again") == [KEPT, NOT_DECIDED, KEPT]
    assert result.budgets["again"][1].reason.startswith("load and stack shared cores")


@pytest.mark.parametrize(("blocks", "alpha"), [(3, 0.01), (6, 0.01), (7, 0.015), (20, 0.025), (30, 0.025)])
def test_the_level_is_that_of_the_look(blocks: int, alpha: float) -> None:
    """Between two looks the next one's level is spent, because it was planned for more blocks."""
    looks = tuple(Look(blocks=at, alpha=level) for at, level in ((6, 0.01), (10, 0.015), (20, 0.025)))
    plan = replace(experiments.planned(experiments.SAME, 20), looks=looks)

    assert confidence_alpha(plan, blocks) == alpha


def test_a_selfcheck_has_the_noise_floor_of_the_planned_comparison(tmp_path: Path) -> None:
    """With eight variants a smaller level is left for each, and only larger changes can be seen."""
    folder = experiment(tmp_path, command="selfcheck")
    alone = {floor.metric.text: floor.smallest_seen or 0.0 for floor in analyse(folder).floors}
    documents.save_plan(folder, replace(documents.load_plan(folder), sides=8))
    among_others = {floor.metric.text: floor.smallest_seen or 0.0 for floor in analyse(folder).floors}

    assert 0.005 < alone[P95] < 0.1
    assert among_others[P95] > 1.2 * alone[P95]


def test_budgets_are_judged_for_each_variant(tmp_path: Path) -> None:
    """Absolute ones for the base, too; relative ones for the others only; also of metrics that no table shows."""
    budgets = ('p95 of "blob" < 40ms', 'p95 of "blob" within 10% of base', 'p95 of "token" < 1s')
    slow = {"base": Truth(), "slow": Truth(took_ms=40)}
    result = analyse(experiment(tmp_path / "a", slow, budgets=budgets))
    relative = analyse(experiment(tmp_path / "b", budgets=('failures of "blob" within 5% of base',)))

    assert (budget_words(result, "base"), budget_words(result, "slow")) == ([KEPT, BROKEN], [BROKEN] * 3)
    assert result.budgets["base"][1].reason.endswith("was never measured")
    assert budget_words(relative, "again") == [KEPT]
    first = relative.runs[0].measured
    assert first.counts['failures of "blob"'] == first.requests


def test_a_variant_keeps_no_budget_if_one_of_its_runs_did_not_finish(tmp_path: Path) -> None:
    """The run that was stopped has no values; a budget that the others broke stays broken."""
    budgets = ('p95 of "blob" < 150ms', 'p95 of "blob" within 50% of base', 'p95 of "blob" < 1ms')
    folder = experiment(tmp_path, blocks=5, budgets=budgets)
    clock = {"wall_ns": factories.WALL_NS + 10**15, "monotonic_ns": factories.BEGIN_NS + 10**15}
    notes = (experiments.note(NoteKind.STOPPED_EARLY, "memory above 1 GiB"),)
    changes = {"status": "failed", "error": "stopped", "notes": notes, "spans": (), "clock": clock}
    experiments.run(folder, "again", 3, Truth(changes=changes))
    result = analyse(folder)

    assert budget_words(result, "again") == [NOT_DECIDED, NOT_DECIDED, BROKEN]
    assert result.budgets["again"][0].reason.startswith("was stopped early in 1 of 5 runs; kept in the others")
    assert budget_words(result, "base") == [KEPT, BROKEN]


def test_a_broken_budget_without_a_regression_has_its_own_word(tmp_path: Path) -> None:
    """The exit code is that of a regression."""
    result = analyse(experiment(tmp_path, blocks=3, budgets=('p95 of "blob" < 1ms',)))

    assert (result.word, result.exit_code()) == ("BUDGET BROKEN", 1)


@pytest.mark.parametrize("pinning", [{"generator": [1], "stack": [0]}, {"generator": [0], "stack": [0]}])
def test_a_plain_run_is_compared_with_nothing(tmp_path: Path, pinning: dict[str, list[int]]) -> None:
    """Its absolute budgets are judged, relative ones are not decided; by the run alone as well."""
    budgets = ('p95 of "blob" < 150ms', 'p95 of "blob" within 10% of base')
    folder = experiment(tmp_path, {"base": Truth()}, blocks=1, command="run", budgets=budgets, pinning=pinning)
    run = RunFolder(next((folder / "runs").iterdir()))
    document = documents.load_document(run)
    documents.save_document(run, replace(document, scenario={**document.scenario, "budgets": budgets}))
    result, alone = analyse(folder), analyse_run(run)

    assert result.comparison is None
    for judged in (result.budgets["base"], alone.budgets):
        assert [budget.word for budget in judged] == [KEPT, NOT_DECIDED]
        assert judged[1].reason == "one run alone has no base to compare with: seatrial compare judges it"
    for each in (result, alone):
        assert (each.exit_code(), each.exit_code(strict=True)) == (0, 7)


def test_a_plain_run_may_share_its_host(tmp_path: Path) -> None:
    """Other programs make it no less valid, because it is compared with nothing."""
    folder = experiment(tmp_path, {"base": Truth()}, blocks=1, command="run", crowded=[("base", 1)])
    (run,) = analyse(folder).runs

    assert run.measured.invalid == ""
    assert [note.kind for note in analyse_run(RunFolder(Path(run.folder))).notes] == [NoteKind.FOREIGN_CPU]


def test_cpu_per_request_is_that_of_the_own_turns(tmp_path: Path) -> None:
    """In the slices design a stack also uses CPU while another one is loaded."""
    window, idle = Phase.WINDOW, Phase.IDLE
    spans = tuple(
        Span(phase=phase, from_ns=factories.at(begin), until_ns=factories.at(end))
        for phase, begin, end in ((window, 0, 1), (idle, 1, 3), (window, 3, 4), (idle, 4, 6))
    )
    truth = Truth(cores=0.5, scatter=0, changes={"spans": spans})
    measured = analyse(experiment(tmp_path, {"base": truth, "again": truth}, blocks=1)).runs[0].measured

    assert measured.values["cpu per request"] == pytest.approx(0.5 * 2e9 / measured.requests, rel=0.06)


def test_values_carry_the_rounding_of_their_unit(tmp_path: Path) -> None:
    """Memory is counted in pages: three equal blocks have no narrower interval than that."""
    result = analyse(experiment(tmp_path, {"base": Truth(scatter=0), "again": Truth(scatter=0)}, blocks=3))
    memory = verdict(result, "again", "unreclaimable memory of nginx")

    assert memory.word is Word.EQUIVALENT
    unreclaimable_mib = 40 + 0.5 + 0.25 + 1  # anonymous, not yet written, shared, the kernel's
    t_of_95_percent, step_sd = 2.920, 4096 / (unreclaimable_mib * factories.MIB) * (2 / 12) ** 0.5
    assert memory.equal_high == pytest.approx(t_of_95_percent * step_sd / 3**0.5, rel=0.01)


def test_what_ended_every_run_early_is_the_reason(tmp_path: Path) -> None:
    """The rule of `stop_when` with the value that it met; of a variant, of the base, and of a plain run."""
    seen = "failures > 20%: failures was at 100 % in one second"
    notes = (experiments.note(NoteKind.STOPPED_EARLY, seen),)
    flaky = Truth(changes={"status": "failed", "spans": (), "notes": notes})
    variant = analyse(experiment(tmp_path / "variant", {"base": Truth(), "flaky": flaky}, blocks=3))
    both = analyse(experiment(tmp_path / "both", {"base": flaky, "flaky": flaky}, blocks=3))
    plain = analyse(experiment(tmp_path / "plain", {"base": flaky}, blocks=1, command="run"))

    assert variant.comparison
    assert variant.comparison.reason == f"flaky never finished: was stopped early in 3 of 3 blocks ({seen})"
    assert (variant.word, variant.exit_code()) == ("INVALID", 5)
    assert variant.budgets["flaky"][0].reason == f"no run finished: was stopped early ({seen})"
    assert both.comparison
    assert both.comparison.reason == f"the base never finished: was stopped early in 3 of 3 blocks ({seen})"
    assert plain.why_not == f"a plain run is not compared with anything; base: was stopped early ({seen})"
    assert (plain.word, plain.exit_code()) == ("INVALID", 5)


def test_why_an_experiment_ended_early_is_part_of_the_reason(tmp_path: Path) -> None:
    """With whole blocks and without any."""
    failed = Truth(changes=NEVER_READY)
    some = progress(experiment(tmp_path / "a", {"base": failed, "again": failed}, blocks=2), 8, 2, "no base")
    none = progress(experiment(tmp_path / "b", {"base": failed}, blocks=1), 1, 1, "the budget of 70 s is used up")
    comparison = analyse(some).comparison

    assert comparison
    assert comparison.reason == (
        "the base never finished: never became ready in 2 of 2 blocks (the stack is not ready after 3 s); "
        "it ended after 2 of 8 blocks: no base"
    )
    assert analyse(none).why_not == (
        "no block has come to its end: the budget of 70 s is used up; "
        "base: never became ready (the stack is not ready after 3 s)"
    )
