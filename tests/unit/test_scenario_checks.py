"""Mistakes of a scenario beyond its grammar, each with its line; and what a comparison of it would refuse."""

# ruff: noqa: E501  (a message stands in one piece)

from __future__ import annotations

from pathlib import Path

import pytest
import scenario_files
from click.testing import CliRunner
from scenario_files import SHORT

from seatrial import cli
from seatrial.errors import ScenarioInvalid, UsageError
from seatrial.scenario import checks

ONE = "variants: {a: {compose: {x-a: 1}}}\n"
TWO = "variants: {a: {compose: {x-a: 1}}, b: {compose: {x-a: 2}}}\n"
DIFFERENT = "a Compose override, replaced files, or load parameters that differ is expected"
AGAIN = "5: a variant can't be named 'again': seatrial selfcheck gives this name to the base when it runs a second time"
STORED = "7: a variant can't be named 'stored': seatrial compare --against gives this name to the stored base"
MISTAKES = {
    "gate: [p96 of x]": "5: gate: 'p96 of x': p96 is not measured; p50, p95 or p99 is expected",
    "gate: [cpu per requst]": "5: gate: 'cpu per requst' is not a metric: did you mean cpu per request?",
    "gate: [unreclaimable memory of wep]": "5: gate: the stack has no service 'wep'; did you mean web?",
    "gate:\n- throughput\n- throughput within 5%": "7: gate: throughput stands twice",
    "gate: [p50 of a, p95 of a, p99 of a, p50 of b, p95 of b, p99 of b, p50 of c]": "5: gate has 7 metrics: at most 6 can be distinguished from chance; what is not gated is still shown",
    "gate: p50 of a": "5: gate must be a list (seen: 'p50 of a'); such as gate: [cpu per request, 'p95 of \"NAME\" within 5%']",
    "budgets: [{failures: 1%}]": "5: budgets.0 must be text (seen: {'failures': '1%'}); such as budgets: ['p95 of \"NAME\" < 150ms', 'failures < 0.1%']",
    "stop_when: failures > 5%": "5: stop_when must be a list (seen: 'failures > 5%'); such as stop_when: ['failures > 20% for 10s']",
    "compare: {variants: a}": "5: compare.variants must be a list (seen: 'a'); such as variants: [one, other]",
    "compare: {varies: host}": "5: compare.varies must be a list (seen: 'host'); such as varies: [host]",
    "budgets: [failures < 1%, failures < 2%]": "5: budgets: failures stands twice",
    "budgets: [failures within 1% of base, failures within 2% of base]": "5: budgets: failures within a share of base stands twice",
    "budgets: [failures > 1%]": "5: budgets: 'failures > 1%' would be broken by a good result: failures < 1% is expected",
    "budgets: [peak unreclaimable of db < 1MiB]": "5: budgets: the stack has no service 'db'; its services: web, app",
    "stop_when: [failures > 20% for 1.5s]": "5: stop_when: 'failures > 20% for 1.5s': values come once a second, so whole seconds from 1s on are expected",
    "stop_when: [cpu per request > 5ms]": "5: stop_when: 'cpu per request > 5ms': cpu per request is only known after the run; latency, failures, details of flows and memory are known each second",
    "stop_when: [peak unreclaimable of web > 1GiB]": "5: stop_when: 'peak unreclaimable of web > 1GiB': peak unreclaimable of web is only known after the run; memory of web is known each second",
    "stop_when: [memory of db > 90%]": "5: stop_when: the stack has no service 'db'; its services: web, app",
    "stop_when: [swap of host > 9%]": "5: stop_when: 'swap of host > 9%': the size of swap is not known: an amount such as 1GiB is expected",
    "compare: {blocks: 0}": "5: compare.blocks must be at least 1 (seen: 0)",
    "compare: {block: 3}": "5: compare.block is not a key of a scenario; did you mean blocks?",
    "compare: {time: 10}": "5: compare.time: 10 has no unit: write 10s, 10m or 10ms (seen: 10)",
    "compare: {design: sliced}": "5: compare.design must be 'auto', 'runs' or 'slices' (seen: 'sliced')",
    "compare: {varies: [weather]}": "5: compare.varies.0 must be 'host', 'engine', 'storage driver', 'load' or 'seed' (seen: 'weather')",
    "compare: {settle: 1s}": "5: compare.settle (1 s) leaves nothing of a slice of 1 s",
    "compare: {base: big}": "5: there is no variant 'big'; there are: base",
    "compare: {variants: []}": "5: compare.variants names none; there are: base; without the key all are compared",
    ONE + "compare: {variants: [a, a]}": "6: compare.variants: a stands twice",
    ONE + "compare: {variants: [b]}": "6: there is no variant 'b'; there are: base, a",
    "variants: {a: {load: {users: 3}}}": "5: variants.a.load.users is not a key of a scenario; known here: parameters",
    "variants: {again: {compose: {x-a: 1}}}": AGAIN,
    "variants:\n  a: {compose: {x-a: 1}}\n  stored: {compose: {x-a: 2}}": STORED,
    "grid: {one: {again: {compose: {x-a: 1}}}}": AGAIN,
    "grid: {one: {}}": "5: the axis 'one' has no level, so the grid makes no variant",
    "grid: {one: {a: {compose: {x-a: 1}}}}\nvariants: {a: {}}": "5: the grid makes a variant 'a', and there is one already",
    "grid: {one: {a: {compose: {k: 1}}}, two: {b: {compose: {k: 2}}}}": "5: the axes 'one' and 'two' both set compose.k",
    "grid: {one: {on: {}}}": "5: the name grid.one.1 must be text",
}
MISTAKES_OF_LOAD = {
    "{rate: {file: gone.csv}": "4: there is no file 'gone.csv' beside the scenario",
    "{rate: {file: late.csv}": "4: 'late.csv' is no schedule of rates: line 1: seconds begin at 0 and rise, 5 does not",
    "{rate: {file: st}": "4: 'st' can't be read: Is a directory",
    "{users: 3, arrivals: poisson": "4: load.arrivals is the spacing of a rate, but there is no load.rate",
    "{users: 3, processes: 4": "4: load.processes is 4, but there are only 3 users: each process needs one; users: 4, or more",
    "{rate: 5/s, processes: 60": "4: load.processes is 60, but there are only 50 users: each process needs one; users: 60, or more",
}
NOT_COMPARABLE = {
    "variants: {same: {}}": f"5: the variants 'base' and 'same' differ in nothing; {DIFFERENT}",
    "variants:\n  a: {compose: {x-a: 1}}\n  b: {compose: {x-a: 1}}": f"7: the variants 'a' and 'b' differ in nothing; {DIFFERENT}",
    f"{ONE}grid: {{one: {{b: {{compose: {{x-a: 1}}}}}}}}": f"6: the variants 'a' and 'b' differ in nothing; {DIFFERENT}",
    f"{TWO}compare: {{variants: [base]}}": "6: compare.variants names only the base, 'base'",
    f"{TWO}compare: {{time: 70s, design: runs}}": "6: compare.time (70 s) is too short for one block; warm-up and window of 3 variants take 75 s",
    f"{TWO}compare: {{time: 1s, slices: 10}}": "6: compare.time (1 s) is too short for one block; warm-up and window of 3 variants take 45 s",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the scenario is to be written, beside what it names."""
    return scenario_files.make(tmp_path)


def _refused(file: Path, command: str, *words: str) -> UsageError:
    results = () if command == "validate" else ("--results", str(file.parent / "results"), "--quiet")
    done = CliRunner().invoke(cli.seatrial, [command, str(file), *results, *words], standalone_mode=False)
    assert isinstance(done.exception, UsageError), done.output
    assert not (file.parent / "results").exists()
    return done.exception


@pytest.mark.parametrize(("more", "problem"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_one_problem_with_its_line(file: Path, more: str, problem: str) -> None:
    """The message of a metric, a budget or a stop rule is that of its own language."""
    assert scenario_files.problems(file, SHORT + more) == [problem]


@pytest.mark.parametrize(("load", "problem"), MISTAKES_OF_LOAD.items(), ids=MISTAKES_OF_LOAD)
def test_keys_of_the_load_that_do_not_fit_together_are_a_problem(file: Path, load: str, problem: str) -> None:
    """So is a rate's file that can't be read."""
    text = SHORT.replace("{locustfile: drive.py, users: 3", f"{load}, locustfile: drive.py")
    assert scenario_files.problems(file, text) == [problem]


def test_each_replaced_file_has_to_exist(file: Path) -> None:
    """Both the one that is replaced and its replacement, in a level of the grid as in a variant."""
    assert scenario_files.problems(file, SHORT + "grid: {one: {a: {files: {x: y}}}}") == [
        "5: the stack has no file 'x'",
        "5: the stack has no file 'y'",
    ]


def test_thirty_variants_are_the_most(file: Path) -> None:
    """The base counts."""
    more = [f"v{number}: {{compose: {{x-a: {number}}}}}" for number in range(30)]

    assert len(scenario_files.read(file, f"{SHORT}variants: {{{', '.join(more[:29])}}}").variants) == 30
    (problem,) = scenario_files.problems(file, f"{SHORT}variants: {{{', '.join(more)}}}")
    assert problem == "5: 31 variants with the base: at most 30 can be compared"


def test_a_grid_of_many_axes_is_refused_without_being_made(file: Path) -> None:
    """Twenty axes of ten levels would be more variants than fit in memory."""
    levels = ", ".join(f"l{number}: {{}}" for number in range(10))
    axes = ", ".join(f"a{number}: {{{levels}}}" for number in range(20))

    (problem,) = scenario_files.problems(file, f"{SHORT}grid: {{{axes}}}")
    assert problem == "5: 100000000000000000000 combinations; at most 30 can be compared"


def test_a_grid_is_every_combination() -> None:
    """Two axes of two levels are four variants, with the changes of both."""
    sync = {"compose": {"services": {"auth": {"environment": {"CLASS": "sync"}}}}}
    one = {"compose": {"services": {"auth": {"environment": {"WORKERS": "1"}}}}}
    two = {"load": {"parameters": {"x": "2"}}}

    combined = checks.combinations({"class": {"sync": sync, "gevent": {}}, "workers": {"w1": one, "w2": two}})

    assert list(combined) == ["sync-w1", "sync-w2", "gevent-w1", "gevent-w2"]
    environment = {"CLASS": "sync", "WORKERS": "1"}
    assert combined["sync-w1"] == {"compose": {"services": {"auth": {"environment": environment}}}}
    assert combined["gevent-w2"] == two


@pytest.mark.parametrize(("more", "problem"), NOT_COMPARABLE.items(), ids=NOT_COMPARABLE)
def test_validate_refuses_what_compare_would(file: Path, more: str, problem: str) -> None:
    """With the line; a scenario that is only read, for a plain run, is not refused for it."""
    assert scenario_files.read(file, SHORT + more).question
    assert _refused(file, "validate").what.splitlines()[1:] == [f"  {file}:{problem}"]


@pytest.mark.parametrize("more", ["", TWO, f"{TWO}compare: {{time: 75s, design: runs}}"])
def test_what_can_be_compared_or_only_run_is_valid(file: Path, more: str) -> None:
    """A scenario without variants needs no comparison."""
    file.write_text(SHORT + more)

    done = CliRunner().invoke(cli.seatrial, ["validate", str(file)], standalone_mode=False)

    assert done.output.startswith(f"{file}: valid; variants: base")


def test_validate_refuses_a_parameter_of_a_variant_that_the_harness_sets(file: Path) -> None:
    """It would end the experiment in the middle of its first block."""
    file.write_text(f"{SHORT}variants: {{a: {{load: {{parameters: {{run-time: 5s}}}}}}}}")

    error = _refused(file, "validate")

    assert (error.where, error.seen) == ("load.parameters of the variant 'a'", "run-time")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("", "there is no variant ''; there are: base, a, b"),
        ("a,c", "there is no variant 'c'; there are: base, a, b"),
        ("a, a", "compare.variants: a stands twice"),
        ("b]", "there is no variant 'b]'; did you mean b?"),
    ],
)
def test_the_variants_of_the_command_line_are_names_of_the_scenario(file: Path, names: str, problem: str) -> None:
    """An empty text does not stand for all of them, and a name is shown as it was written."""
    file.write_text(SHORT + TWO)

    error = _refused(file, "compare", "--variants", names)

    assert isinstance(error, ScenarioInvalid)
    assert error.what.splitlines()[1:] == [f"  on the command line: {problem}"]
