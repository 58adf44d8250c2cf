"""A whole comparison with scripted stacks: plan, folders, resuming, a stored base, and what is refused."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import factories
import pytest

from seatrial.errors import EngineUnavailable, Incomparable, Interrupted, NotReady, UsageError
from seatrial.experiment import resume
from seatrial.experiment.blocks import FinishedExperiment, FreshStacks
from seatrial.experiment.compare import CompareRequest, compare
from seatrial.experiment.request import Request
from seatrial.experiment.run_record import RunRecord
from seatrial.experiment.trial import RunContext, initial_document
from seatrial.load.pinning import Pinning
from seatrial.model import Design, EngineName, ExperimentPlan, Note, NoteKind
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record import folder as folders
from seatrial.record.documents import Status
from seatrial.record.folder import RunFolder
from seatrial.scenario import plan as plans
from seatrial.scenario import reading, source
from seatrial.stack.engine import Choice
from seatrial.wire.streams import SCHEMA_VERSION

QUIET = Progress(quiet=True)
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
    """Stacks that never start: each trial is a sealed folder, or what `does` makes of it."""

    does: Callable[[str, int], Status] = lambda _variant, _block: "complete"
    engine: EngineName = EngineName.LOCAL
    facts: dict[str, object] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    done: list[tuple[str, int]] = field(default_factory=list)
    built: list[bool] = field(default_factory=list)

    def prepare(self, request: Request) -> RunContext:
        """Choose nothing of this host."""
        choice = Choice(engine=self.engine, reason="made up")
        return RunContext(request=request, choice=choice, pinning=Pinning(usable=(0, 1)))


class OnPaper(FreshStacks):
    """Does the trials of a script."""

    def __init__(
        self, script: Script, context: RunContext, experiment: Path, plan: ExperimentPlan, progress: Progress
    ) -> None:
        super().__init__(context, experiment, plan, progress)
        self.script = script

    def run_trial(self, variant: str, block: int, _progress: Progress, *, images_built: bool) -> RunFolder:
        """Do one trial."""
        script, context = self.script, self.context
        folder = folders.create_run(self.experiment, variant, block, 1_795_241_700_000_000_000)
        resolved = plans.resolved(context.request.scenario)
        journal = RunRecord(folder, initial_document(context, variant, block, resolved, command_ns=1))
        facts = journal.document.facts
        script.built.append(images_built)
        script.done.append((variant, block))
        environment = {**facts["environment"], "engine": script.facts}
        journal.change(
            facts={"subject": {**facts["subject"], "images": script.images}, "environment": environment}
        )
        assert context.expected is not None
        context.expected.check(journal.document)
        status = script.does(variant, block)
        if status != "running":
            journal.seal(status, "no" if status == "failed" else "")
        if status == "failed":
            raise NotReady("no")
        return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a scenario of three variants."""
    (tmp_path / "st").mkdir()
    (tmp_path / "st" / "compose.yaml").write_text("services: {web: {image: w}}\n")
    (tmp_path / "drive.py").touch()
    (tmp_path / "one.yaml").write_text(SCENARIO)
    return tmp_path / "one.yaml"


def _asked(file: Path, *settings: str, **more: str) -> CompareRequest:
    request = Request(
        scenario=reading.read(str(file), source.parse_overrides(settings)),
        results=file.parent / "results",
        command_ns=1,
    )
    return CompareRequest(request=request, **more)


def _compare(script: Script, asked: CompareRequest) -> FinishedExperiment:
    designs = dict.fromkeys(Design, partial(OnPaper, script))
    return compare(asked, QUIET, prepare=script.prepare, designs=designs)


def _interrupting(at: tuple[str, int] | int) -> Callable[[str, int], Status]:
    """Return what ends the experiment as Ctrl-C does: in the n-th trial."""
    counted = []

    def does(variant: str, block: int) -> Status:
        counted.append((variant, block))
        if len(counted) == at:
            raise KeyboardInterrupt
        return "complete"

    return does


def test_the_plan_stands_before_anything_starts(file: Path) -> None:
    """An experiment that is killed in its first run has its plan."""
    seen = []

    def does(_variant: str, _block: int) -> Status:
        (place,) = (file.parent / "results").glob("*/plan.json")
        seen.append(json.loads(place.read_text())["gate"])
        return "complete"

    done = _compare(Script(does=does), _asked(file))

    assert seen == [["cpu per request", 'p95 of "x"']] * 9
    assert documents.load_plan(done.folder) == done.plan


def test_every_run_has_a_folder_of_its_own(file: Path) -> None:
    """In the order of the plan, with the block in its name, and its images are built only once."""
    script = Script()

    done = _compare(script, _asked(file))

    assert script.done == [(name, block) for block, names in enumerate(done.plan.blocks, 1) for name in names]
    assert script.built == [False] * 3 + [True] * 6
    assert {root.name[17:] for root in (done.folder / "runs").iterdir()} == {
        f"{name}-b{block}" for name, block in script.done
    }


def test_an_interrupted_experiment_says_how_to_go_on_and_goes_on(file: Path) -> None:
    """What was finished is kept, what was begun is done anew, in the order that was planned."""
    first, second = Script(does=_interrupting(5)), Script()
    with pytest.raises(Interrupted) as caught:
        _compare(first, _asked(file))
    assert caught.value.hint == f"seatrial compare {file} --resume {caught.value.where}"

    done = _compare(second, _asked(file, resume="latest"))

    assert first.done[:4] + second.done == [(n, b) for b, names in enumerate(done.plan.blocks, 1) for n in names]
    assert str(done.folder) == caught.value.where
    assert len(list((file.parent / "results").iterdir())) == 1


def test_the_command_that_resumes_can_be_pasted(file: Path) -> None:
    """Though the folder of the results has a space."""
    asked = _asked(file)
    asked = replace(asked, request=replace(asked.request, results=file.parent / "my results"))
    with pytest.raises(Interrupted) as caught:
        _compare(Script(does=_interrupting(1)), asked)

    words = ["seatrial", "compare", str(file), "--resume", caught.value.where]
    assert shlex.split(caught.value.hint) == words


def test_a_run_that_failed_is_an_ending_and_is_not_done_again(file: Path) -> None:
    """It would be thrown again until it comes out well."""
    first = Script(does=lambda variant, _block: "failed" if variant == "a" else "complete")
    done = _compare(first, _asked(file))
    again = Script()

    _compare(again, _asked(file, resume=str(done.folder)))

    assert len(first.done) == 9
    assert again.done == []


@pytest.mark.parametrize("setting", ["compare.design=auto", "compare.design=slices"])
def test_an_experiment_keeps_its_design_whatever_memory_is_free_now(file: Path, setting: str) -> None:
    """Slices were possible when it began; they are not now, or not as far as this host can tell."""
    with pytest.raises(Interrupted) as caught:
        _compare(Script(does=_interrupting(2)), _asked(file, setting))
    folder = Path(caught.value.where)
    sliced = replace(documents.load_plan(folder), design=Design.SLICES, slice_s=1.0, settle_s=0.15, slices=20)
    documents.save_plan(folder, sliced)

    assert _compare(Script(), _asked(file, setting, resume="latest")).plan == sliced


def test_the_latest_is_looked_for_among_the_plans_that_can_be_read(file: Path) -> None:
    """A folder that is torn, or of a newer program, is no reason to refuse all others."""
    with pytest.raises(Interrupted) as caught:
        _compare(Script(does=_interrupting(2)), _asked(file))
    torn = file.parent / "results" / "z-later"
    torn.mkdir()
    (torn / "plan.json").write_text("{")

    assert str(_compare(Script(), _asked(file, resume="latest")).folder) == caught.value.where


@pytest.mark.parametrize(
    ("kind", "hopeless"), [(NoteKind.STOPPED_EARLY, set()), (NoteKind.LOAD_ENDED_EARLY, {1, 2})]
)
def test_a_base_that_a_rule_has_stopped_did_come_up(file: Path, kind: NoteKind, hopeless: set[int]) -> None:
    """It is no sign that the next block would fail, resumed or not."""
    with pytest.raises(Interrupted) as caught:
        _compare(Script(does=_interrupting(1)), _asked(file))
    left = resume.find(_asked(file).request, caught.value.where, "compare")
    for block in (1, 2):
        run = folders.create_run(left.folder, "base", block, 1_795_241_700_000_000_000)
        page = factories.document(status="failed", sealed=True, variant="base", block=block)
        documents.save_document(run, replace(page, notes=(Note(kind=kind, text="?"),)))

    found = resume.find(_asked(file).request, caught.value.where, "compare")

    assert found.base_failed == hopeless


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("load.users=4", "load.users: 3 then, 4 now"),
        ("compare.blocks=5", "compare.blocks: 3 then, 5 now"),
        ("gate=[throughput]", "gate: ['cpu per request', 'p95 of \"x\"'] then, ['throughput'] now"),
    ],
)
def test_another_question_is_not_resumed(file: Path, setting: str, told: str) -> None:
    """Half of one and half of the other would be one verdict."""
    with pytest.raises(Interrupted):
        _compare(Script(does=_interrupting(2)), _asked(file))

    with pytest.raises(UsageError) as caught:
        _compare(Script(), _asked(file, setting, resume="latest"))

    assert caught.value.exit_code == 2
    assert told in caught.value.seen.splitlines()


@pytest.mark.parametrize("name", ["compose.yaml", "app/app.py", "Dockerfile"])
def test_a_stack_that_was_changed_meanwhile_is_not_resumed(file: Path, name: str) -> None:
    """The blocks before and after would be of two stacks, whichever of its files it is."""
    stack = file.parent / "st"
    (stack / "app").mkdir()
    (stack / "app" / "app.py").write_text("1\n")
    with pytest.raises(Interrupted):
        _compare(Script(does=_interrupting(2)), _asked(file))
    there = (stack / name).exists()
    (stack / name).write_text("services: {web: {image: x}}\n")

    with pytest.raises(UsageError) as caught:
        _compare(Script(), _asked(file, resume="latest"))

    assert caught.value.seen == f"{name}: {'changed' if there else 'new'}"


def test_runs_of_another_schema_are_not_gone_on_with(file: Path) -> None:
    """Its columns would be judged by two rules."""
    with pytest.raises(Interrupted) as caught:
        _compare(Script(does=_interrupting(2)), _asked(file))
    for place in Path(caught.value.where).glob("runs/*/run.json"):
        values = json.loads(place.read_text())
        place.write_text(json.dumps({**values, "schema_version": SCHEMA_VERSION - 1}))

    with pytest.raises(UsageError) as refused:
        _compare(Script(), _asked(file, resume="latest"))

    assert refused.value.seen == f"schema: {SCHEMA_VERSION - 1} then, {SCHEMA_VERSION} now"


def test_other_images_end_it_before_the_load(file: Path) -> None:
    """Exit code 6; that run does not count, and with the images of before the experiment goes on."""
    with pytest.raises(Interrupted) as caught:
        _compare(Script(does=_interrupting(5), images={"web": "sha256:1"}), _asked(file))
    folder, rebuilt = Path(caught.value.where), Script(images={"web": "sha256:2", "db": "sha256:3"})

    with pytest.raises(Incomparable) as refused:
        _compare(rebuilt, _asked(file, resume="latest"))

    assert refused.value.exit_code == 6
    assert refused.value.seen == "web: sha256:1 then, sha256:2 now\ndb: none then, sha256:3 now"
    assert len(rebuilt.done) == 1
    again = Script(images={"web": "sha256:1"})
    done = _compare(again, _asked(file, resume="latest"))
    assert (done.folder, len(again.done)) == (folder, 5)


def test_images_that_nobody_knows_are_no_others(file: Path) -> None:
    """The embedded engine has none, and a run that never came up has told of none."""
    with pytest.raises(Interrupted):
        _compare(Script(does=_interrupting(5)), _asked(file))

    assert len(_compare(Script(images={"web": "sha256:2"}), _asked(file, resume="latest")).plan.blocks) == 3


def test_another_seed_or_engine_is_not_resumed(file: Path) -> None:
    """Both are part of what was planned."""
    with pytest.raises(Interrupted):
        _compare(Script(does=_interrupting(2)), _asked(file))
    asked = _asked(file, resume="latest")

    with pytest.raises(UsageError) as caught:
        _compare(Script(engine=EngineName.COMPOSE), replace(asked, request=replace(asked.request, seed=2)))

    assert "seed: 1 then, 2 now" in caught.value.seen
    assert "engine: local then, compose now" in caught.value.seen


def test_there_has_to_be_something_to_resume(file: Path) -> None:
    """Of this scenario and of this verb."""
    with pytest.raises(UsageError, match="no experiment of `seatrial compare one` to resume"):
        _compare(Script(), _asked(file, resume="latest"))
    _compare(Script(), _asked(file, command="selfcheck"))
    with pytest.raises(UsageError, match="no experiment of `seatrial compare one` to resume"):
        _compare(Script(), _asked(file, resume="latest"))


def test_a_base_that_never_comes_up_is_told_with_what_there_is(file: Path) -> None:
    """After two blocks; the other variants' runs are kept."""
    script = Script(does=lambda variant, _block: "failed" if variant == "base" else "complete")

    done = _compare(script, _asked(file))

    assert isinstance(done.failure, NotReady)
    assert len(script.done) == 6


def test_an_engine_that_goes_away_ends_it(file: Path) -> None:
    """No later run would do better."""

    def does(_variant: str, _block: int) -> Status:
        raise EngineUnavailable("the Docker daemon went away")

    script = Script(does=does)
    with pytest.raises(EngineUnavailable):
        _compare(script, _asked(file))

    assert len(script.done) == 1


def test_a_stored_experiment_stands_for_the_base(file: Path) -> None:
    """Only what is new runs, in as many blocks as are stored."""
    stored = _compare(Script(), _asked(file, "compare.blocks=2"))
    script = Script()

    done = _compare(script, _asked(file, against=str(stored.folder)))

    assert script.done == [("base", 1), ("base", 2)]
    assert (done.plan.base, done.plan.stored, done.plan.against) == ("stored", "base", str(stored.folder))


def test_a_stored_run_stands_with_its_own_variant(file: Path) -> None:
    """A run's folder is named, not its experiment's."""
    stored = _compare(Script(), _asked(file, "compare.blocks=2"))
    run = next((stored.folder / "runs").glob("*-a-b1"))

    done = _compare(Script(), _asked(file, against=str(run)))

    assert done.plan.stored == "a"


def test_another_load_than_the_stored_one_is_refused_before_anything_starts(file: Path) -> None:
    """Exit code 6, and no experiment is left behind."""
    stored = _compare(Script(), _asked(file))
    script = Script()

    with pytest.raises(Incomparable, match="another environment") as caught:
        _compare(script, _asked(file, "load.users=4", against=str(stored.folder)))

    assert caught.value.seen == "load: users: 3 there, 4 here"
    assert script.done == []
    assert len(list((file.parent / "results").iterdir())) == 1


def test_an_engine_that_differs_is_seen_once_a_stack_was_up(file: Path) -> None:
    """The storage driver is known only then: the first run ends it."""
    stored = _compare(Script(facts={"storage_driver": "overlay2"}), _asked(file))
    script = Script(facts={"storage_driver": "vfs"})

    with pytest.raises(Incomparable) as caught:
        _compare(script, _asked(file, against=str(stored.folder)))

    assert caught.value.seen == "storage driver: overlay2 there, vfs here"
    assert len(script.done) == 1


def test_a_declared_difference_runs_if_a_metric_survives_it(file: Path) -> None:
    """Another engine leaves memory; this gate has none."""
    stored = _compare(Script(), _asked(file))
    declared = "compare.varies=[engine, load]"

    with pytest.raises(Incomparable, match="no metric of the gate"):
        _compare(Script(engine=EngineName.COMPOSE), _asked(file, declared, against=str(stored.folder)))
    gate = "gate=[unreclaimable memory]"
    done = _compare(Script(engine=EngineName.COMPOSE), _asked(file, declared, gate, against=str(stored.folder)))

    assert done.plan.varies == ("engine", "load")


def test_nothing_complete_can_not_stand_for_a_base(file: Path) -> None:
    """An experiment in which the base always failed; what became of its runs is told."""
    script = Script(does=lambda variant, _block: "failed" if variant == "base" else "complete")
    stored = _compare(script, _asked(file))

    with pytest.raises(UsageError, match="no complete run to compare with") as caught:
        _compare(Script(), _asked(file, against=str(stored.folder)))

    names = sorted(root.name for root in (stored.folder / "runs").iterdir() if "-base-" in root.name)
    assert caught.value.seen.splitlines() == [f"{name}: failed: no" for name in names]
    assert caught.value.expected == "a run of 'base' that came to its end"


@pytest.mark.parametrize(
    ("does", "seen"),
    [
        (lambda _variant, _block: "running", "not sealed: it is still going on, or its harness was killed"),
        (lambda _variant, _block: "interrupted", "interrupted"),
        (lambda _variant, _block: "failed", "failed: no"),
    ],
)
def test_a_run_without_its_end_can_not_stand_for_a_base(
    file: Path, does: Callable[[str, int], Status], seen: str
) -> None:
    """Named itself it is told; other runs of the variant are not taken in its place."""
    stored = _compare(Script(does=does), _asked(file, "compare.blocks=1", "variants={a: {compose: {x-a: 1}}}"))
    run = next((stored.folder / "runs").glob("*-a-b1"))

    with pytest.raises(UsageError, match="this run can't stand for a base") as caught:
        _compare(Script(), _asked(file, against=str(run)))

    assert (caught.value.where, caught.value.seen) == (str(run), seen)
    assert caught.value.expected
    assert caught.value.hint


def test_a_folder_that_is_no_experiment_is_told_as_such(file: Path) -> None:
    """With what is in it, and what should be."""
    with pytest.raises(UsageError, match="neither an experiment nor a run") as caught:
        _compare(Script(), _asked(file, against=str(file.parent / "st")))

    assert (caught.value.where, caught.value.seen) == (str(file.parent / "st"), "compose.yaml")
    assert "plan.json" in caught.value.expected
    with pytest.raises(UsageError, match="there is no run 'elsewhere'"):
        _compare(Script(), _asked(file, against="elsewhere"))


def test_a_recording_can_not_stand_for_a_base(file: Path) -> None:
    """It was not made by a scenario: there is no plan."""
    stored = _compare(Script(), _asked(file, "compare.blocks=1"))
    (stored.folder / "plan.json").unlink()

    with pytest.raises(UsageError, match="this run can't stand for a base") as caught:
        _compare(Script(), _asked(file, against=str(stored.folder)))

    assert caught.value.seen == "it has no plan.json: it was recorded, or observed"


def test_a_check_of_a_machine_runs_the_base_twice(file: Path) -> None:
    """Under two names, in every block."""
    script = Script()

    done = _compare(script, _asked(file, command="selfcheck"))

    assert {name for name, _ in script.done} == {"base", "again"}
    assert (done.plan.command, len(script.done)) == ("selfcheck", 6)
