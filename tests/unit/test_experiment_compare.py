"""Whole comparisons with scripted trials: plan, folders, resuming, a stored base, and refusals."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import factories
import pytest
import scenario_files

from seatrial.errors import Incomparable, Interrupted, NotReady, UsageError
from seatrial.experiment import compare as compare_module
from seatrial.experiment import maintenance, resume
from seatrial.experiment.blocks import FinishedExperiment, FreshStacks
from seatrial.experiment.compare import CompareRequest, compare
from seatrial.experiment.request import Request
from seatrial.experiment.run_record import RunRecord
from seatrial.experiment.trial import RunContext, initial_document
from seatrial.load.pinning import Pinning
from seatrial.model import Design, EngineName, Note, NoteKind
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record import folder as folders
from seatrial.record.documents import Status
from seatrial.record.folder import RunFolder
from seatrial.scenario import plan as plans
from seatrial.scenario import reading, source
from seatrial.scenario.plan import SERVICE_BYTES
from seatrial.stack.engine import Choice
from seatrial.wire.streams import SCHEMA_VERSION

SCENARIO = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
load: {locustfile: drive.py, users: 3}
gate: [cpu per request, 'p95 of "x"']
variants: {a: {compose: {x-a: 1}}, b: {load: {parameters: {depth: 2}}}}
compare: {blocks: 3, design: runs}
"""


@dataclass
class Script:
    """Trials without stacks: each is a sealed run folder with the status that `does` returns."""

    does: Callable[[str, int], Status] = lambda _variant, _block: "complete"
    engine: EngineName = EngineName.LOCAL
    facts: dict[str, object] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    done: list[tuple[str, int]] = field(default_factory=list)
    built: list[bool] = field(default_factory=list)

    def prepare(self, request: Request) -> RunContext:
        """Choose engine and cores."""
        choice = Choice(engine=self.engine, reason="made up")
        return RunContext(request=request, choice=choice, pinning=Pinning(usable=(0, 1)))


class OnPaper(FreshStacks):
    """Runs the trials of a script."""

    def __init__(self, script: Script, *words: Any) -> None:  # noqa: ANN401  (those of a design)
        super().__init__(*words)
        self.script = script

    def run_trial(self, variant: str, block: int, _progress: Progress, *, images_built: bool) -> RunFolder:
        """Run one trial."""
        script, context = self.script, self.context
        folder = folders.create_run(self.experiment, variant, block, 1_795_241_700_000_000_000)
        resolved = plans.resolved(context.request.scenario)
        record = RunRecord(folder, initial_document(context, variant, block, resolved, command_ns=1))
        subject, environment = (record.document.facts[name] for name in ("subject", "environment"))
        script.built.append(images_built)
        script.done.append((variant, block))
        subject, environment = {**subject, "images": script.images}, {**environment, "engine": script.facts}
        record.change(facts={"subject": subject, "environment": environment})
        assert context.expected is not None
        context.expected.check(record.document)
        status = script.does(variant, block)
        if status != "running":
            record.seal(status, "no" if status == "failed" else "")
        if status == "failed":
            raise NotReady("no")
        return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a scenario of three variants."""
    path = scenario_files.make(tmp_path)
    path.write_text(SCENARIO)
    return path


def _request(file: Path, *settings: str, seed: int = 1, results: str = "results", **more: str) -> CompareRequest:
    scenario = reading.read(str(file), source.parse_overrides(settings))
    request = Request(scenario=scenario, results=file.parent / results, command_ns=1, seed=seed)
    return CompareRequest(request=request, **more)


def _compare(script: Script, request: CompareRequest) -> FinishedExperiment:
    designs = dict.fromkeys(Design, partial(OnPaper, script))
    return compare(request, Progress(quiet=True), prepare=script.prepare, designs=designs)


def _interrupting(number: int) -> Callable[[str, int], Status]:
    """Return outcomes of trials that end with Ctrl-C in the n-th one."""
    begun = []

    def does(variant: str, block: int) -> Status:
        begun.append((variant, block))
        if len(begun) == number:
            raise KeyboardInterrupt
        return "complete"

    return does


def _interrupted(file: Path, number: int, *settings: str, **script: Any) -> Path:  # noqa: ANN401  (fields of Script)
    """Interrupt a comparison in its n-th trial; return its folder."""
    with pytest.raises(Interrupted) as caught:
        _compare(Script(does=_interrupting(number), **script), _request(file, *settings))
    return Path(caught.value.where)


def _base_fails(variant: str, _block: int) -> Status:
    return "failed" if variant == "base" else "complete"


def test_the_plan_is_saved_before_anything_starts_and_every_run_has_its_folder(file: Path) -> None:
    """In the order of the plan, with the block in its name; images are built once."""
    gates = []

    def does(_variant: str, _block: int) -> Status:
        (path,) = (file.parent / "results").glob("*/plan.json")
        gates.append(json.loads(path.read_text())["gate"])
        return "complete"

    script = Script(does=does)
    done = _compare(script, _request(file))

    assert gates == [["cpu per request", 'p95 of "x"']] * 9
    assert documents.load_plan(done.folder) == done.plan
    assert script.done == [(name, block) for block, names in enumerate(done.plan.blocks, 1) for name in names]
    assert script.built == [False] * 3 + [True] * 6
    assert {root.name[17:] for root in (done.folder / "runs").iterdir()} == {
        f"{name}-b{block}" for name, block in script.done
    }


def test_an_interrupted_experiment_is_resumed(file: Path) -> None:
    """Finished runs are kept, the interrupted one is done again, in the planned order; the hint can be pasted."""
    first, second = Script(does=_interrupting(5)), Script()
    request = _request(file, results="my results")
    with pytest.raises(Interrupted) as caught:
        _compare(first, request)
    where = caught.value.where
    assert shlex.split(caught.value.hint) == ["seatrial", "compare", str(file), "--resume", where]

    done = _compare(second, replace(request, resume="latest"))

    assert first.done[:4] + second.done == [(n, b) for b, names in enumerate(done.plan.blocks, 1) for n in names]
    assert str(done.folder) == where
    assert len(list((file.parent / "my results").iterdir())) == 1


def test_a_failed_run_is_an_outcome_and_not_done_again(file: Path) -> None:
    """It would be repeated until it comes out well."""
    first = Script(does=lambda variant, _block: "failed" if variant == "a" else "complete")
    done = _compare(first, _request(file))
    again = Script()

    _compare(again, _request(file, resume=str(done.folder)))

    assert (len(first.done), again.done) == (9, [])


def test_a_comparison_with_unsealed_runs_is_listed(file: Path) -> None:
    """Its harness was killed; the requests of such runs are not known yet."""
    killed = _compare(Script(does=lambda _variant, _block: "running"), _request(file, "compare.blocks=1"))

    (row,) = maintenance.list_runs(file.parent / "results")

    assert (row["run"], row["status"], row["requests"]) == (killed.folder.name, "unfinished", 0)


@pytest.mark.parametrize("setting", ["compare.design=auto", "compare.design=slices"])
def test_a_resumed_experiment_keeps_its_design(file: Path, setting: str) -> None:
    """Slices were possible when it began; now there may be less memory."""
    folder = _interrupted(file, 2, setting)
    plan = replace(documents.load_plan(folder), design=Design.SLICES, slice_s=1.0, settle_s=0.15, slices=20)
    documents.save_plan(folder, plan)

    assert _compare(Script(), _request(file, setting, resume="latest")).plan == plan


def test_the_latest_experiment_is_the_latest_with_a_readable_plan(file: Path) -> None:
    """Of this scenario and command, of which a self-check runs the base twice; UsageError if there is none."""
    script = Script()
    done = _compare(script, _request(file, command="selfcheck"))
    assert {name for name, _ in script.done} == {"base", "again"}
    assert (done.plan.command, len(script.done)) == ("selfcheck", 6)
    with pytest.raises(UsageError, match="no experiment of `seatrial compare one` to resume"):
        _compare(Script(), _request(file, resume="latest"))
    folder = _interrupted(file, 2)
    torn = file.parent / "results" / "z-later"
    torn.mkdir()
    (torn / "plan.json").write_text("{")

    assert _compare(Script(), _request(file, resume="latest")).folder == folder


@pytest.mark.parametrize(
    ("kind", "failed"), [(NoteKind.STOPPED_EARLY, set()), (NoteKind.LOAD_ENDED_EARLY, {1, 2})]
)
def test_a_base_that_a_rule_has_stopped_did_come_up(file: Path, kind: NoteKind, failed: set[int]) -> None:
    """The next block is no less likely to succeed."""
    folder = _interrupted(file, 1)
    for block in (1, 2):
        run = folders.create_run(folder, "base", block, 1_795_241_700_000_000_000)
        page = factories.document(status="failed", sealed=True, variant="base", block=block)
        documents.save_document(run, replace(page, notes=(Note(kind=kind, text="?"),)))

    assert resume.find(_request(file).request, str(folder), "compare").base_failed == failed


def _change(stack: Path, folder: Path, name: str) -> None:
    """Change a file of the stack, or the schema of the runs."""
    if name and name != "run.json":
        (stack / name).write_text("services: {web: {image: x}}\n")
    for path in folder.glob(f"runs/*/{name}") if name == "run.json" else ():
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": SCHEMA_VERSION - 1}))


@pytest.mark.parametrize(
    ("setting", "name", "seen"),
    [
        ("load.users=4", "", "load.users: 3 then, 4 now"),
        ("compare.blocks=5", "", "compare.blocks: 3 then, 5 now"),
        ("gate=[throughput]", "", "gate: ['cpu per request', 'p95 of \"x\"'] then, ['throughput'] now"),
        ("", "compose.yaml", "compose.yaml: changed"),
        ("", "app/app.py", "app/app.py: changed"),
        ("", "Dockerfile", "Dockerfile: new"),
        ("", "run.json", f"schema: {SCHEMA_VERSION - 1} then, {SCHEMA_VERSION} now"),
    ],
)
def test_an_experiment_that_has_changed_is_not_resumed(file: Path, setting: str, name: str, seen: str) -> None:
    """Its verdict would be about two questions; seed and engine are named, too."""
    stack = file.parent / "st"
    (stack / "app").mkdir()
    (stack / "app" / "app.py").write_text("1\n")
    _change(stack, _interrupted(file, 2), name)
    request = _request(file, *filter(None, [setting]), seed=2, resume="latest")

    with pytest.raises(UsageError) as caught:
        _compare(Script(engine=EngineName.COMPOSE), request)

    assert caught.value.exit_code == 2
    lines = caught.value.seen.splitlines()
    expected = {"seed: 1 then, 2 now", "engine: local then, compose now", seen}
    assert set(lines) >= expected
    assert setting or len(lines) == len(expected)


def test_other_images_are_refused_before_the_load(file: Path) -> None:
    """That run does not count; with the former images the experiment goes on, and where none were known, too."""
    folder = _interrupted(file, 5, images={"web": "sha256:1"})
    rebuilt, again = Script(images={"web": "sha256:2", "db": "sha256:3"}), Script(images={"web": "sha256:1"})

    with pytest.raises(Incomparable) as refused:
        _compare(rebuilt, _request(file, resume="latest"))

    assert refused.value.exit_code == 6
    assert refused.value.seen == "web: sha256:1 then, sha256:2 now\ndb: none then, sha256:3 now"
    assert len(rebuilt.done) == 1
    done = _compare(again, _request(file, resume="latest"))
    assert (done.folder, len(again.done)) == (folder, 5)
    folder = _interrupted(file, 5)
    assert _compare(Script(images={"web": "sha256:2"}), _request(file, resume=str(folder))).folder == folder


def test_a_stored_experiment_or_run_is_the_base(file: Path) -> None:
    """An experiment with its base, a run with its own variant; only new runs are done, in as many blocks."""
    stored = _compare(Script(), _request(file, "compare.blocks=2"))
    run = next((stored.folder / "runs").glob("*-a-b1"))
    script = Script()

    done = _compare(script, _request(file, against=str(stored.folder)))

    assert script.done == [("base", 1), ("base", 2)]
    assert (done.plan.base, done.plan.stored, done.plan.against) == ("stored", "base", str(stored.folder))
    assert _compare(Script(), _request(file, against=str(run))).plan.stored == "a"


def test_another_environment_than_the_stored_one_is_refused_as_early_as_it_is_known(file: Path) -> None:
    """Another load before anything starts; another storage driver once a stack was up."""
    stored = _compare(Script(facts={"storage_driver": "overlay2"}), _request(file))
    script = Script(facts={"storage_driver": "vfs"})

    with pytest.raises(Incomparable, match="another environment") as caught:
        _compare(script, _request(file, "load.users=4", against=str(stored.folder)))
    assert caught.value.seen == "load: users: 3 there, 4 here"
    assert script.done == []
    assert len(list((file.parent / "results").iterdir())) == 1

    with pytest.raises(Incomparable) as caught:
        _compare(script, _request(file, against=str(stored.folder)))

    assert caught.value.seen == "storage driver: overlay2 there, vfs here"
    assert len(script.done) == 1


def test_a_declared_difference_needs_a_metric_that_stays_comparable(file: Path) -> None:
    """Memory does with another engine; this gate has none."""
    stored = str(_compare(Script(), _request(file)).folder)
    declared = "compare.varies=[engine, load]"

    with pytest.raises(Incomparable, match="no metric of the gate"):
        _compare(Script(engine=EngineName.COMPOSE), _request(file, declared, against=stored))
    request = _request(file, declared, "gate=[unreclaimable memory]", against=stored)
    done = _compare(Script(engine=EngineName.COMPOSE), request)

    assert done.plan.varies == ("engine", "load")


def test_a_base_without_a_complete_run_is_refused(file: Path) -> None:
    """With the outcome of each of its runs."""
    stored = _compare(Script(does=_base_fails), _request(file))

    with pytest.raises(UsageError, match="no complete run to compare with") as caught:
        _compare(Script(), _request(file, against=str(stored.folder)))

    names = sorted(root.name for root in (stored.folder / "runs").iterdir() if "-base-" in root.name)
    assert caught.value.seen.splitlines() == [f"{name}: failed: no" for name in names]
    assert caught.value.expected == "a run of 'base' that came to its end"


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        ("running", "not sealed: it is still going on, or its harness was killed"),
        ("interrupted", "interrupted"),
        ("failed", "failed: no"),
        ("complete", "it has no plan.json: it was recorded, or observed"),
    ],
)
def test_a_run_without_its_end_or_its_plan_can_not_be_the_base(file: Path, status: Status, seen: str) -> None:
    """Other runs of the variant do not take its place."""
    script = Script(does=lambda _variant, _block: status)
    stored = _compare(script, _request(file, "compare.blocks=1", "variants={a: {compose: {x-a: 1}}}"))
    run = next((stored.folder / "runs").glob("*-a-b1"))
    if status == "complete":
        (stored.folder / "plan.json").unlink()

    with pytest.raises(UsageError, match="this run can't stand for a base") as caught:
        _compare(Script(), _request(file, against=str(run)))

    assert (caught.value.where, caught.value.seen) == (str(run), seen)
    assert caught.value.expected
    assert caught.value.hint


def test_a_folder_that_is_no_experiment_is_refused(file: Path) -> None:
    """With its content, and what was expected."""
    with pytest.raises(UsageError, match="neither an experiment nor a run") as caught:
        _compare(Script(), _request(file, against=str(file.parent / "st")))

    assert (caught.value.where, caught.value.seen) == (str(file.parent / "st"), "big.conf, compose.yaml, web.conf")
    assert "plan.json" in caught.value.expected
    with pytest.raises(UsageError, match="there is no run 'elsewhere'"):
        _compare(Script(), _request(file, against="elsewhere"))


def test_memory_for_stacks_is_read_from_the_host_and_the_compose_file(tmp_path: Path) -> None:
    """The shipped stack has two services without a limit; None if the host does not report free memory."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    scenario = reading.read("known-cpu")

    need = compare_module.memory_for_stacks(scenario, ("base", "plus5"), meminfo=meminfo)

    assert need.available_bytes == 2 << 20
    assert need.stacks_bytes == {"base": 2 * SERVICE_BYTES, "plus5": 2 * SERVICE_BYTES}
    assert compare_module.memory_for_stacks(scenario, (), meminfo=tmp_path / "none").available_bytes is None


def test_only_containers_without_a_fixed_port_can_be_up_together() -> None:
    """Two stacks can't publish one port; the embedded engine has one stack at a time."""
    compose, local = (Choice(engine=engine, reason="") for engine in (EngineName.COMPOSE, EngineName.LOCAL))

    assert compare_module.why_not_together(compose, 0) == ""
    assert "port 5000" in compare_module.why_not_together(compose, 5000)
    assert "local" in compare_module.why_not_together(local, 0)
