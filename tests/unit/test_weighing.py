"""From stored runs to words: what is said of made-up experiments whose truth is known, and of bad ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import experiments
import factories
import pytest
from experiments import Truth, experiment

from seatrial.analysis import experiment as experiment_analysis
from seatrial.analysis import stored_runs
from seatrial.analysis.experiment import analyse
from seatrial.analysis.results import ExperimentResult
from seatrial.analysis.run import analyse_run
from seatrial.analysis.stored_runs import RunCache
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.comparison import Overall
from seatrial.compare.pairing import FAILURES
from seatrial.compare.verdicts import Verdict, Word
from seatrial.errors import UsageError
from seatrial.measure.metric import Kind
from seatrial.model import Look, Note, NoteKind, Phase, Span
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.report import ci_exports

P95 = 'p95 of "blob"'


def of(weighed: ExperimentResult, variant: str, metric: str) -> Verdict:
    """Return the verdict on one gated metric."""
    assert weighed.comparison
    return next(one for one in weighed.comparison.gated if (one.variant, one.metric.text) == (variant, metric))


def test_a_slower_variant_is_a_regression(tmp_path: Path) -> None:
    """The whole way from tables to a word, with the planted effect inside the interval."""
    weighed = analyse(experiment(tmp_path, {"base": Truth(), "slow": Truth(took_ms=26)}))

    verdict = of(weighed, "slow", P95)
    assert verdict.word is Word.REGRESSION
    assert verdict.low is not None
    assert verdict.high is not None
    assert verdict.low < 0.3 < verdict.high
    assert (weighed.word, weighed.exit_code()) == ("REGRESSION", 1)
    assert of(weighed, "slow", "cpu per request").word is not Word.REGRESSION


def test_equal_variants_are_kept(tmp_path: Path) -> None:
    """Variants that differ in nothing, without any scatter: equal, and nothing is divided by zero."""
    same = {"base": Truth(scatter=0, requests=1000), "again": Truth(scatter=0, requests=1000)}

    weighed = analyse(experiment(tmp_path, same))

    assert (weighed.word, weighed.exit_code(strict=True)) == ("KEPT", 0)


def test_one_block_decides_nothing(tmp_path: Path) -> None:
    """A single pair has no scatter: however far apart, no word is said."""
    weighed = analyse(experiment(tmp_path, {"base": Truth(), "slow": Truth(took_ms=80)}, blocks=1, budgets=()))

    assert weighed.comparison
    assert weighed.comparison.overall is Overall.INCONCLUSIVE
    assert (weighed.exit_code(), weighed.exit_code(strict=True)) == (0, 7)


def test_more_failures_come_before_lower_latency(tmp_path: Path) -> None:
    """Who fails sooner is not faster."""
    weighed = analyse(experiment(tmp_path, {"base": Truth(), "flaky": Truth(took_ms=10, fails=3)}))

    assert of(weighed, "flaky", FAILURES.text).word is Word.REGRESSION
    assert of(weighed, "flaky", P95).withheld


def test_all_requests_failed(tmp_path: Path) -> None:
    """Without one success there is no latency, and that is said; failures decide."""
    weighed = analyse(experiment(tmp_path, {"base": Truth(), "dead": Truth(fails=100)}))

    assert of(weighed, "dead", FAILURES.text).word is Word.REGRESSION
    assert of(weighed, "dead", P95).word is Word.INVALID
    assert [one.word for one in weighed.budgets["dead"]] == [BudgetWord.BROKEN, BudgetWord.BROKEN]


def test_nothing_but_failures_on_both_sides(tmp_path: Path) -> None:
    """Two dead stacks are not equal stacks."""
    weighed = analyse(experiment(tmp_path, {"base": Truth(fails=100), "dead": Truth(fails=100)}))

    assert weighed.exit_code() in (1, 5)
    assert of(weighed, "dead", P95).word is Word.INVALID


def test_different_endpoints(tmp_path: Path) -> None:
    """A label that one side never used can't be compared, and the sentence says whose."""
    weighed = analyse(experiment(tmp_path, {"base": Truth(), "other": Truth(endpoint="token")}))

    assert of(weighed, "other", P95).text == "INVALID: never measured with other"


def test_disturbed_blocks_are_kept_and_not_used(tmp_path: Path) -> None:
    """One of six is left out; with two the rest can't stand for the whole."""
    truths = {"base": Truth(), "slow": Truth(took_ms=26)}

    one = analyse(experiment(tmp_path / "one", truths, spoiled=[("slow", 2)]))
    two = analyse(experiment(tmp_path / "two", truths, spoiled=[("slow", 2), ("base", 5)]))

    assert of(one, "slow", P95).blocks == 5
    assert [run.block for run in one.runs if run.measured.invalid] == [2]
    assert (two.word, two.exit_code()) == ("INVALID", 5)


def test_a_run_that_died_is_an_outcome(tmp_path: Path) -> None:
    """A variant that is killed each time has regressed, though nothing of it was measured."""
    killed = {
        "status": "failed",
        "error": "the front door 'nginx' is not running\n  seen: exited (137)",
        "spans": (),
    }

    weighed = analyse(experiment(tmp_path, {"base": Truth(), "small": Truth(changes=killed)}))

    assert weighed.comparison
    assert weighed.comparison.endings[0].counts == {stored_runs.KILLED: 6}
    assert weighed.exit_code() == 1


def test_an_unfinished_block_is_not_mixed_in(tmp_path: Path) -> None:
    """An interrupted run does not count, and neither does what stands beside it."""
    folder = experiment(tmp_path, blocks=3)
    documents.save_plan(folder, replace(documents.load_plan(folder), blocks=(("base", "again"),) * 4))
    stopped = Truth(changes={"status": "interrupted"})
    experiments.run(folder, "base", 4, Truth())
    experiments.run(folder, "again", 4, stopped)

    weighed = analyse(folder)

    assert weighed.numbers == (1, 2, 3)
    assert weighed.unfinished == (("again", 4),)


def test_the_newest_run_of_a_place_counts(tmp_path: Path) -> None:
    """Also where the wall clock was set back in between: within one boot the monotonic clock orders them."""
    folder = experiment(tmp_path, blocks=1)
    clock = {"wall_ns": factories.WALL_NS - 10**15, "monotonic_ns": factories.BEGIN_NS + 10**15}
    experiments.run(folder, "base", 1, Truth(took_ms=90, changes={"clock": clock}))

    values = next(one.measured.values for one in analyse(folder).runs if one.variant == "base")

    assert (values[P95] or 0.0) > 90e6


def test_tables_that_are_gone(tmp_path: Path) -> None:
    """A run without its tables is left out with the reason; a folder without run.json is passed over."""
    folder = experiment(tmp_path)
    broken = sorted((folder / "runs").iterdir())
    (broken[0] / "requests.parquet").unlink()
    (broken[3] / "run.json").write_text("{")

    weighed = analyse(folder)

    assert [one.measured.invalid for one in weighed.runs if one.measured.invalid] == [
        "this run has no requests.parquet"
    ]
    assert len(weighed.numbers) == 5
    assert "run.json can't be read" in weighed.notes[0]


def test_before_the_first_block_has_ended(tmp_path: Path) -> None:
    """Whoever looks too early is told so."""
    weighed = analyse(_planned_only(tmp_path))

    assert weighed.comparison is None
    assert weighed.why_not == "no block has come to its end yet"
    assert (weighed.word, weighed.exit_code()) == ("INVALID", 5)


def _planned_only(results: Path) -> Path:
    folder = experiment(results, blocks=1)
    for run in (folder / "runs").iterdir():
        (run / "run.json").unlink()
    return folder


def test_without_a_plan_there_is_nothing_to_weigh(tmp_path: Path) -> None:
    """A folder that is no experiment is a mistake of the command line."""
    with pytest.raises(UsageError, match=r"no plan\.json"):
        analyse(tmp_path)


def test_a_rule_that_nobody_can_read(tmp_path: Path) -> None:
    """A plan that was edited by hand ends in words, not in a traceback."""
    with pytest.raises(UsageError, match=r"a rule of plan\.json can't be read"):
        analyse(experiment(tmp_path, blocks=1, gate=("p12 of x",)))


def test_shared_cores_gate_no_latency(tmp_path: Path) -> None:
    """From the cores of the runs: a plan of before does not tell."""
    weighed = analyse(experiment(tmp_path, pinning={"generator": [0, 1], "stack": [0, 1]}))

    assert weighed.comparison
    assert weighed.comparison.host_limited
    assert P95 not in {one.metric.text for one in weighed.comparison.gated}
    assert P95 in {one.metric.text for one in weighed.comparison.exploratory}


@pytest.mark.parametrize(("blocks", "alpha"), [(3, 0.01), (6, 0.01), (7, 0.015), (20, 0.025), (30, 0.025)])
def test_the_level_is_that_of_the_look(blocks: int, alpha: float) -> None:
    """Between two looks the next one's level is spent: it was planned for more."""
    looks = tuple(Look(blocks=at, alpha=level) for at, level in ((6, 0.01), (10, 0.015), (20, 0.025)))
    plan = replace(experiments.planned(experiments.SAME, 20), looks=looks)

    assert experiment_analysis.confidence_alpha(plan, blocks) == alpha


def test_a_selfcheck_tells_the_noise_floor(tmp_path: Path) -> None:
    """For each gated metric what the planned blocks can see."""
    weighed = analyse(experiment(tmp_path, command="selfcheck"))

    told = {one.metric.text: one.smallest_seen for one in weighed.floors}
    assert 0.005 < (told[P95] or 0.0) < 0.1


def test_the_noise_floor_is_that_of_the_comparison_that_was_planned(tmp_path: Path) -> None:
    """With eight variants to compare a smaller level is left for each, and less can be seen."""
    folder = experiment(tmp_path, command="selfcheck")
    alone = analyse(folder).floors
    documents.save_plan(folder, replace(documents.load_plan(folder), sides=8))

    among_others = analyse(folder).floors

    assert (among_others[0].smallest_seen or 0.0) > 1.2 * (alone[0].smallest_seen or 1.0)


def test_budgets_over_blocks(tmp_path: Path) -> None:
    """Absolute ones for each variant, the base's too; relative ones for the others alone."""
    budgets = ('p95 of "blob" < 40ms', 'p95 of "blob" within 10% of base', 'p95 of "token" < 1s')

    weighed = analyse(experiment(tmp_path, {"base": Truth(), "slow": Truth(took_ms=40)}, budgets=budgets))

    assert [one.word for one in weighed.budgets["base"]] == [BudgetWord.KEPT, BudgetWord.BROKEN]
    assert [one.word for one in weighed.budgets["slow"]] == [
        BudgetWord.BROKEN,
        BudgetWord.BROKEN,
        BudgetWord.BROKEN,
    ]
    assert weighed.budgets["base"][1].reason.endswith("was never measured")


def _ends(folder: Path, block: int) -> None:
    """Let the run of `again` in a block be made once more, and be stopped."""
    clock = {"wall_ns": factories.WALL_NS + 10**15, "monotonic_ns": factories.BEGIN_NS + 10**15}
    note = experiments.note(NoteKind.STOPPED_EARLY, "memory above 1 GiB")
    changes = {"status": "failed", "error": "stopped", "notes": (note,), "spans": (), "clock": clock}
    experiments.run(folder, "again", block, Truth(changes=changes))


def test_what_a_variant_keeps_is_open_while_a_run_did_not_finish(tmp_path: Path) -> None:
    """Who is stopped in one block of five has no figures there: the others can't keep a budget for it."""
    budgets = ('p95 of "blob" < 150ms', 'p95 of "blob" within 50% of base', 'p95 of "blob" < 1ms')
    folder = experiment(tmp_path, blocks=5, budgets=budgets)
    _ends(folder, 3)

    weighed = analyse(folder)

    assert [one.word for one in weighed.budgets["again"]] == [
        BudgetWord.NOT_DECIDED,
        BudgetWord.NOT_DECIDED,
        BudgetWord.BROKEN,
    ]
    assert weighed.budgets["again"][0].reason.startswith("was stopped early in 1 of 5 runs; kept in the others")
    assert [one.word for one in weighed.budgets["base"]] == [BudgetWord.KEPT, BudgetWord.BROKEN]


def test_a_budget_relative_to_the_base_is_measured_though_nothing_else_asks_for_it(tmp_path: Path) -> None:
    """The failures of one endpoint are in no table of what is always shown."""
    budgets = ('failures of "blob" within 5% of base',)

    weighed = analyse(experiment(tmp_path, budgets=budgets))

    assert [one.word for one in weighed.budgets["again"]] == [BudgetWord.KEPT]
    assert {one.measured.counts['failures of "blob"'] for one in weighed.runs} == {
        weighed.runs[0].measured.requests
    }


def test_shared_cores_decide_no_budget_by_a_difference_of_latency(tmp_path: Path) -> None:
    """What stands for the whole host is not set against the base; a limit of its own is promised for this host."""
    budgets = ('p95 of "blob" < 150ms', 'p95 of "blob" within 50% of base', "cpu per request within 50% of base")
    pinning = {"generator": [0, 1], "stack": [0, 1]}

    weighed = analyse(experiment(tmp_path, budgets=budgets, pinning=pinning))

    assert [one.word for one in weighed.budgets["again"]] == [
        BudgetWord.KEPT,
        BudgetWord.NOT_DECIDED,
        BudgetWord.KEPT,
    ]
    assert weighed.budgets["again"][1].reason.startswith("load and stack shared cores")


def test_a_broken_budget_without_a_regression(tmp_path: Path) -> None:
    """Nothing got worse, and yet a promise is broken: exit code 1, under its own word."""
    weighed = analyse(experiment(tmp_path, budgets=('p95 of "blob" < 1ms',)))

    assert (weighed.word, weighed.exit_code()) == ("BUDGET BROKEN", 1)


def test_a_plain_run_has_nothing_to_compare(tmp_path: Path) -> None:
    """Its budgets are judged all the same."""
    weighed = analyse(experiment(tmp_path, {"base": Truth()}, blocks=1, command="run"))

    assert weighed.comparison is None
    assert [one.word for one in weighed.budgets["base"]] == [BudgetWord.KEPT, BudgetWord.KEPT]
    assert weighed.exit_code() == 0


@pytest.mark.parametrize("pinning", [{"generator": [1], "stack": [0]}, {"generator": [0], "stack": [0]}])
def test_a_plain_run_has_no_base_for_its_budgets(tmp_path: Path, pinning: dict[str, list[int]]) -> None:
    """Whatever cores it shares; every form of its report says so, and only --strict minds."""
    budgets = ('p95 of "blob" < 150ms', 'p95 of "blob" within 10% of base')
    folder = experiment(tmp_path, {"base": Truth()}, blocks=1, command="run", budgets=budgets, pinning=pinning)

    (root,) = (folder / "runs").iterdir()
    page = documents.load_document(RunFolder(root))
    documents.save_document(RunFolder(root), replace(page, scenario={**page.scenario, "budgets": budgets}))

    weighed, review = analyse(folder), analyse_run(RunFolder(root))

    why = "one run alone has no base to compare with: seatrial compare judges it"
    for told in (weighed.budgets["base"], review.budgets):
        assert [one.word for one in told] == [BudgetWord.KEPT, BudgetWord.NOT_DECIDED]
        assert told[1].reason == why
    assert (weighed.exit_code(), weighed.exit_code(strict=True)) == (0, 7)
    assert (review.exit_code(), review.exit_code(strict=True)) == (0, 7)


def test_against_a_stored_experiment(tmp_path: Path) -> None:
    """The stored base stands for the base, and what differs is told."""
    stored = experiment(tmp_path / "old", {"base": Truth()}, blocks=5, command="run")
    new = experiment(tmp_path / "new", {"head": Truth(took_ms=26)}, blocks=5, against=str(stored))

    weighed = analyse(new)

    assert of(weighed, "head", P95).word is Word.REGRESSION
    assert weighed.against
    assert weighed.against.experiment == stored.name


def test_stored_blocks_stand_beside_those_of_their_number(tmp_path: Path) -> None:
    """A hole in the stored blocks moves none of the others."""
    stored = experiment(tmp_path / "old", {"base": Truth()}, blocks=4, command="run")
    (sorted((stored / "runs").iterdir())[1] / "run.json").unlink()
    new = experiment(tmp_path / "new", {"head": Truth()}, blocks=4, against=str(stored))

    weighed = analyse(new)

    assert [sorted(block) for block in weighed.blocks] == [["base", "head"], ["head"], *[["base", "head"]] * 2]


def test_on_another_host_only_what_is_the_stacks_own_gates(tmp_path: Path) -> None:
    """Latency and failures are no gate there, and no budget by a difference of latency is decided."""
    facts = {"environment": {"host": {"cores": 64}, "seed": 7}, "sampler": {"sources": {}}}
    budgets = ('p95 of "blob" < 150ms', 'p95 of "blob" within 50% of base')
    stored = experiment(tmp_path / "old", {"base": Truth()}, blocks=4, command="run")
    head = {"head": Truth(changes={"facts": facts})}
    new = experiment(tmp_path / "new", head, blocks=4, against=str(stored), varies=("host",), budgets=budgets)

    weighed = analyse(new)

    assert weighed.comparison
    assert {one.metric.kind for one in weighed.comparison.gated} == {Kind.CPU, Kind.MEMORY}
    assert [one.word for one in weighed.budgets["head"]] == [BudgetWord.KEPT, BudgetWord.NOT_DECIDED]
    assert weighed.budgets["head"][1].reason == 'p95 of "blob" can\'t be compared across what differs: host'


def test_what_it_is_compared_with_is_gone(tmp_path: Path) -> None:
    """A baseline that was deleted is told by name."""
    with pytest.raises(UsageError, match="stored experiment is not there"):
        analyse(experiment(tmp_path, blocks=1, against="yesterday"))


def test_thirty_variants(tmp_path: Path) -> None:
    """So many share one level, and nothing of it takes long."""
    truths = {"base": Truth(requests=200), **{f"v{n}": Truth(requests=200) for n in range(29)}}

    weighed = analyse(experiment(tmp_path, truths, blocks=2))

    assert weighed.comparison
    assert len({one.variant for one in weighed.comparison.gated}) == 29


def test_processor_time_of_turns(tmp_path: Path) -> None:
    """What a stack uses while another one has its turn is not charged to its requests."""
    spans = (
        Span(phase=Phase.WINDOW, from_ns=factories.at(0), until_ns=factories.at(1)),
        Span(phase=Phase.IDLE, from_ns=factories.at(1), until_ns=factories.at(3)),
        Span(phase=Phase.WINDOW, from_ns=factories.at(3), until_ns=factories.at(4)),
        Span(phase=Phase.IDLE, from_ns=factories.at(4), until_ns=factories.at(6)),
    )
    truth = Truth(cores=0.5, scatter=0, changes={"spans": spans})

    weighed = analyse(experiment(tmp_path, {"base": truth, "again": truth}, blocks=1))

    requests, value = weighed.runs[0].measured.requests, weighed.runs[0].measured.values["cpu per request"]
    assert value == pytest.approx(0.5 * 2e9 / requests, rel=0.06)


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        ("service 'app' exited: out of memory", "killed for memory"),
        ("service 'app' ended with exit code 137\n  where:    container 12", "killed for memory"),
        ("a service ended\n  seen:     app: Exited (137) 3 seconds ago", "killed for memory"),
        ("service 'app' ended with exit code 1\n  where:    /srv/classroom/oom/app", "a service exited"),
        ("service 'app' ended with exit code 1\n  seen:     never runs out of memory", "a service exited"),
        ("service 'oom' ended with exit code 1", "a service exited"),
        ("/srv/oom/app: the images could not be built", "could not be built"),
        ("seeding failed with exit code 1\n  seen: No space left on device", "ran out of space"),
        ("the stack is not ready after 30 s", "never became ready"),
        ("the images could not be built", "could not be built"),
        ("something else", "failed"),
    ],
)
def test_how_a_run_failed(error: str, ended: str) -> None:
    """In words that are the same in every block, so that they can be counted."""
    assert stored_runs.ending_of("failed", error, ()).ended == ended


LOG = "x: no space left in the cache, not ready, seeding, worker exited, ended with exit code 3"


@pytest.mark.parametrize(
    ("kind", "what", "seen", "ended"),
    [
        ("ServiceExited", "service 'app' ended with exit code 1", LOG, "a service exited"),
        ("ServiceExited", "service 'seeding' ended with exit code 1", "", "a service exited"),
        ("ServiceExited", "service 'sampler' ended with exit code 1", "", "a service exited"),
        (
            "ServiceExited",
            "service 'app' ended",
            "OSError: [Errno 28] No space left on device",
            "ran out of space",
        ),
        ("ServiceExited", "service 'app' ended with exit code 137", LOG, "killed for memory"),
        ("NotReady", "the stack is not ready after 30 s", LOG, "never became ready"),
        ("NotReady", "the stack is not ready after 30 s", "spool: no space left on device", "never became ready"),
        ("NotReady", "service 'db' did not end within 60 s", "", "never became ready"),
        ("SeedFailed", "seeding failed with exit code 1", LOG, "could not be seeded"),
        ("SeedFailed", "seeding failed with exit code 1", "cp: No space left on device", "ran out of space"),
        ("ImageMissing", "an image can't be found", LOG, "could not be built"),
        ("StackFailed", "the front door 'seeding' is not running", LOG, "a service exited"),
        ("StackFailed", "`docker compose start` failed with exit code 1", LOG, "failed"),
        ("OfALaterProgram", "service 'app' ended with exit code 1", LOG, "a service exited"),
    ],
)
def test_how_a_run_failed_is_told_by_its_error_and_not_by_a_log(
    kind: str, what: str, seen: str, ended: str
) -> None:
    """Whatever words a service's last lines, or its name, have in common with our own."""
    failure = {"type": kind, "what": what, "seen": seen}

    found = stored_runs.ending_of("failed", f"{what}\n  seen:     {seen}", (), failure=failure)

    assert (found.ended, found.invalid, found.why) == (ended, "", what)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("LoadFailed", "a load process ended at its start"),
        ("MeasurementInvalid", "the sensor ended before the run did"),
        ("PortTaken", "the address 127.0.0.1:80 is taken"),
        ("EngineUnavailable", "Docker has gone"),
    ],
)
def test_an_error_that_is_not_of_the_stack_is_no_outcome(kind: str, what: str) -> None:
    """By its type, whatever its text."""
    found = stored_runs.ending_of("failed", what, (), failure={"type": kind, "what": what})

    assert (found.ended, found.invalid) == ("finished", what)


def test_what_ended_every_run_early_is_the_reason(tmp_path: Path) -> None:
    """The rule of `stop_when` with what it saw, not only that there is nothing to compare."""
    seen = "failures > 20%: failures was at 100 % in one second"
    changes = {"status": "failed", "spans": (), "notes": (experiments.note(NoteKind.STOPPED_EARLY, seen),)}
    truths = {"base": Truth(), "flaky": Truth(changes=changes)}

    variant = analyse(experiment(tmp_path / "variant", truths, blocks=3))
    both = analyse(experiment(tmp_path / "both", {**truths, "base": Truth(changes=changes)}, blocks=3))

    assert variant.comparison
    assert variant.comparison.reason == f"flaky never finished: was stopped early in 3 of 3 blocks ({seen})"
    assert (variant.word, variant.exit_code()) == ("INVALID", 5)
    assert variant.budgets["flaky"][0].reason == f"no run finished: was stopped early ({seen})"
    assert both.comparison
    assert both.comparison.reason == f"the base never finished: was stopped early in 3 of 3 blocks ({seen})"


def test_why_an_experiment_ended_before_its_plan_did_is_in_the_reason(tmp_path: Path) -> None:
    """Beside what the blocks came to that there are; the runs that are missing are no riddle."""
    failed = Truth(changes={"status": "failed", "error": "the stack is not ready after 3 s", "spans": ()})
    folder = experiment(tmp_path, {"base": failed, "again": failed}, blocks=2)
    documents.save_plan(folder, replace(documents.load_plan(folder), blocks=(("base", "again"),) * 8))
    documents.save_progress(folder, documents.ExperimentProgress(blocks=2, stopped="the base never came up"))

    weighed = analyse(folder)

    assert weighed.comparison
    assert weighed.comparison.reason == (
        "the base never finished: never became ready in 2 of 2 blocks (the stack is not ready after 3 s); "
        "it ended after 2 of 8 blocks: the base never came up"
    )


def test_what_is_kept_needs_no_reason(tmp_path: Path) -> None:
    """A look that decided ends an experiment as it should."""
    same = {"base": Truth(scatter=0, requests=1000), "again": Truth(scatter=0, requests=1000)}
    folder = experiment(tmp_path, same)
    documents.save_plan(folder, replace(documents.load_plan(folder), blocks=(("base", "again"),) * 8))
    documents.save_progress(folder, documents.ExperimentProgress(blocks=6, stopped="decided"))

    weighed = analyse(folder)

    assert weighed.comparison
    assert (weighed.word, weighed.comparison.reason) == ("KEPT", "")


def test_without_a_whole_block_the_runs_that_ended_early_are_told(tmp_path: Path) -> None:
    """And why the experiment went no further."""
    failed = Truth(changes={"status": "failed", "error": "the stack is not ready after 3 s", "spans": ()})
    folder = experiment(tmp_path, {"base": failed}, blocks=1)
    documents.save_plan(folder, replace(documents.load_plan(folder), blocks=(("base", "again"),)))
    documents.save_progress(
        folder, documents.ExperimentProgress(blocks=1, stopped="the budget of 70 s is used up")
    )

    assert analyse(folder).why_not == (
        "no block has come to its end: the budget of 70 s is used up; "
        "base: never became ready (the stack is not ready after 3 s)"
    )


def test_a_plain_run_that_was_stopped_says_by_what(tmp_path: Path) -> None:
    """Its budgets say that no run finished, and this why."""
    note = experiments.note(NoteKind.STOPPED_EARLY, "swap of host > 1GiB: swap of host was at 2 GiB in one second")
    truth = Truth(changes={"status": "failed", "spans": (), "notes": (note,)})

    weighed = analyse(experiment(tmp_path, {"base": truth}, blocks=1, command="run"))

    assert weighed.why_not == f"a plain run is not compared with anything; base: was stopped early ({note.text})"
    assert (weighed.word, weighed.exit_code()) == ("INVALID", 5)


def test_what_values_are_counted_in_is_weighed_with_them(tmp_path: Path) -> None:
    """Memory in pages: three equal blocks leave no less than that."""
    weighed = analyse(experiment(tmp_path, {"base": Truth(scatter=0), "again": Truth(scatter=0)}, blocks=3))

    memory = of(weighed, "again", "unreclaimable memory of nginx")
    assert memory.word is Word.EQUIVALENT
    held_mib = 40 + 0.5 + 0.25 + 1  # anonymous, not yet written, shared, the kernel's
    t_of_95_percent, steps = 2.920, 4096 / (held_mib * factories.MIB) * (2 / 12) ** 0.5
    assert memory.equal_high == pytest.approx(t_of_95_percent * steps / 3**0.5, rel=0.01)


def test_what_befell_the_harness_is_no_outcome() -> None:
    """A daemon that went away says nothing about the variant."""
    assert stored_runs.ending_of("failed", "no Docker daemon answers", ()).invalid == "no Docker daemon answers"
    busy = Note(kind=NoteKind.GENERATOR_BUSY, text="95 %")
    slow = Note(kind=NoteKind.SATURATED, text="80 % completed")
    assert stored_runs.ending_of("complete", "", (busy, slow)).invalid == "generator busy: 95 %"
    assert stored_runs.ending_of("complete", "", (slow,)).ended == "did not keep up with the rate"


def test_what_is_saved_is_what_is_said(tmp_path: Path) -> None:
    """All files appear beside plan.json."""
    folder = experiment(tmp_path, blocks=2)

    weighed = analyse(folder)
    ci_exports.save(weighed, folder)

    assert json.loads((folder / "verdict.json").read_text())["verdict"] == weighed.word
    assert {"verdict.md", "junit.xml", "benchmark.json", "changes.csv"} <= {one.name for one in folder.iterdir()}


def test_the_golden_run_is_weighed(tmp_path: Path) -> None:
    """A run of the first schema, in an experiment with a plan of the first version."""
    golden = RunFolder(Path(__file__).parents[1] / "golden" / "run-v1")
    runs = tmp_path / "old" / "runs" / "one"
    runs.mkdir(parents=True)
    for file in golden.root.iterdir():
        (runs / file.name).write_bytes(file.read_bytes())
    old = {"schema_version": 1, "scenario": "registry-pull", "question": "", "seed": 1, "blocks": [["base"]]}
    (tmp_path / "old" / "plan.json").write_text(json.dumps(old))

    weighed = analyse(tmp_path / "old")

    assert weighed.runs[0].measured.values["failures"] is not None
    assert weighed.comparison is None


def test_a_look_reads_no_run_again_that_is_as_it_was(tmp_path: Path) -> None:
    """Of a run whose tables are gone since, the final report still says what the look said."""
    folder, cache = experiment(tmp_path, blocks=3), RunCache()
    before = analyse(folder, cache=cache)
    for table in folder.glob("runs/*/*.parquet"):
        table.unlink()

    assert analyse(folder, cache=cache) == before
    assert not any(run.readable for run in analyse(folder).runs)


def test_a_run_that_was_sealed_anew_is_read_again(tmp_path: Path) -> None:
    """What is kept of it is that of the run.json it was read with."""
    folder, cache = experiment(tmp_path, blocks=3), RunCache()
    analyse(folder, cache=cache)
    run = RunFolder(next(folder.glob("runs/*base-b2")))
    documents.save_document(
        run, replace(documents.load_document(run), notes=(Note(kind=NoteKind.GENERATOR_BUSY, text="95 %"),))
    )

    changed = analyse(folder, cache=cache)
    assert changed == analyse(folder)
    assert [run.block for run in changed.runs if run.measured.invalid] == [2]


def test_tables_are_kept_of_the_runs_used_last(tmp_path: Path) -> None:
    """As many as have so many requests together; the last one in any case."""
    runs = [RunFolder(root) for root in sorted(experiment(tmp_path, blocks=3).glob("runs/*"))][:3]
    roomy, narrow = RunCache(), RunCache(rows=0)
    for cache in (roomy, narrow):
        first = [cache.recorded(run) for run in runs]
        again = [cache.recorded(run) for run in runs]
        kept = [one is other for one, other in zip(first, again, strict=True)]
        assert kept == [cache is roomy] * 3
        assert cache.recorded(runs[2]) is again[2]
