"""Stored runs: which count, how each ended, which images they ran, and what is cached of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import experiments
import factories
import pytest
from experiments import Truth, experiment

from seatrial.analysis.experiment import analyse
from seatrial.analysis.stored_runs import RunCache, ending_of
from seatrial.compare.comparison import Overall
from seatrial.model import Note, NoteKind
from seatrial.record import documents
from seatrial.record.folder import RunFolder

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LOG = "x: no space left in the cache, not ready, seeding, worker exited, ended with exit code 3"


def test_the_newest_run_of_a_variant_and_block_counts(tmp_path: Path) -> None:
    """Also if the wall clock was set back in between: within one boot the monotonic clock decides."""
    folder = experiment(tmp_path, blocks=1)
    clock = {"wall_ns": factories.WALL_NS - 10**15, "monotonic_ns": factories.BEGIN_NS + 10**15}
    experiments.run(folder, "base", 1, Truth(took_ms=90, changes={"clock": clock}))
    values = next(run.measured.values for run in analyse(folder).runs if run.variant == "base")

    assert (values['p95 of "blob"'] or 0.0) > 90e6


def test_what_can_not_be_read_is_left_out(tmp_path: Path) -> None:
    """A run without its tables is invalid; a folder without run.json is noted."""
    folder = experiment(tmp_path)
    runs = sorted((folder / "runs").iterdir())
    (runs[0] / "requests.parquet").unlink()
    (runs[3] / "run.json").write_text("{")
    result = analyse(folder)

    invalid = [run.measured.invalid for run in result.runs if run.measured.invalid]
    assert invalid == ["this run has no requests.parquet"]
    assert len(result.numbers) == 5
    assert "run.json can't be read" in result.notes[0]


def test_a_run_of_schema_1_is_analysed(tmp_path: Path) -> None:
    """In an experiment with a plan of the first version."""
    golden = Path(__file__).parents[1] / "golden" / "run-v1"
    shutil.copytree(golden, tmp_path / "old" / "runs" / "one")
    plan = {"schema_version": 1, "scenario": "registry-pull", "question": "", "seed": 1, "blocks": [["base"]]}
    (tmp_path / "old" / "plan.json").write_text(json.dumps(plan))
    (run,) = analyse(tmp_path / "old").runs

    assert run.measured.values["failures"] is not None


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
    """Without its parts the error's text decides; equal failures are counted under equal words."""
    assert ending_of("failed", error, ()).ended == ended


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
def test_the_type_of_an_error_decides_and_not_a_log(kind: str, what: str, seen: str, ended: str) -> None:
    """Whatever a service is called, or writes in its last lines."""
    failure = {"type": kind, "what": what, "seen": seen}

    ending = ending_of("failed", f"{what}\n  seen:     {seen}", (), failure=failure)

    assert (ending.ended, ending.invalid, ending.why) == (ended, "", what)


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
    """It makes the run invalid, by its type, whatever its text."""
    ending = ending_of("failed", what, (), failure={"type": kind, "what": what})

    assert (ending.ended, ending.invalid) == ("finished", what)


def test_a_failure_of_the_harness_comes_before_an_outcome() -> None:
    """A busy generator or a missing daemon says nothing about the variant."""
    busy = Note(kind=NoteKind.GENERATOR_BUSY, text="95 %")
    slow = Note(kind=NoteKind.SATURATED, text="80 % completed")

    assert ending_of("failed", "no Docker daemon answers", ()).invalid == "no Docker daemon answers"
    assert ending_of("complete", "", (busy, slow)).invalid == "generator busy: 95 %"
    assert ending_of("complete", "", (slow,)).ended == "did not keep up with the rate"


def with_images(folder: Path, images: Mapping[int, Mapping[str, str]], variant: str = "") -> Path:
    """Write images into the runs of these blocks; into those of one variant, if it is named."""
    for run in map(RunFolder, folder.glob("runs/*")):
        document = documents.load_document(run)
        if document.block in images and variant in {"", document.variant}:
            subject = {**document.facts["subject"], "images": images[document.block]}
            documents.save_document(run, replace(document, facts={**document.facts, "subject": subject}))
    return folder


def invalid_runs(folder: Path) -> dict[tuple[str, int], str]:
    """Return why runs are invalid, by variant and block."""
    runs = analyse(folder).runs
    return {(run.variant, run.block): run.measured.invalid for run in runs if run.measured.invalid}


def test_a_run_of_other_images_than_most_is_not_used(tmp_path: Path) -> None:
    """The reason names the image that differs, and one that was not there before."""
    folder = experiment(tmp_path, blocks=5)
    with_images(folder, {block: {"app": OLD} for block in (1, 3, 4, 5)} | {2: {"app": NEW, "db": OLD}})

    why = (
        "other images: app sha256:bbbbbbbbbbbb, sha256:aaaaaaaaaaaa in most of its runs; "
        "db sha256:aaaaaaaaaaaa, none in most of its runs"
    )
    assert invalid_runs(folder) == {("base", 2): why, ("again", 2): why}


def test_of_equally_many_images_the_first_count(tmp_path: Path) -> None:
    """The rest is more than a comparison may lose."""
    folder = experiment(tmp_path, blocks=4)
    with_images(folder, {block: {"app": OLD} for block in (1, 2)} | {block: {"app": NEW} for block in (3, 4)})
    comparison = analyse(folder).comparison

    assert {block for _, block in invalid_runs(folder)} == {3, 4}
    assert comparison
    assert comparison.overall is Overall.INVALID


def test_variants_may_have_different_or_unknown_images(tmp_path: Path) -> None:
    """Images are compared within one variant."""
    folder = experiment(tmp_path, blocks=4)
    with_images(folder, {block: {"app": OLD} for block in (1, 2, 3)}, variant="base")
    with_images(folder, {block: {"app": NEW} for block in (1, 2, 3, 4)}, variant="again")

    assert invalid_runs(folder) == {}


def test_a_run_that_failed_stays_as_it_ended(tmp_path: Path) -> None:
    """Images that don't start are an outcome."""
    failed = Truth(changes={"status": "failed", "error": "the front door 'nginx' is not running", "spans": ()})
    folder = experiment(tmp_path, {"base": Truth(), "again": failed}, blocks=3)
    with_images(folder, {1: {"app": OLD}, 2: {"app": OLD}, 3: {"app": NEW}}, variant="again")

    assert invalid_runs(folder) == {}


@pytest.mark.parametrize("other", [OLD, NEW])
def test_images_of_a_stored_base_are_compared(tmp_path: Path, other: str) -> None:
    """As those of any variant."""
    stored = experiment(tmp_path / "old", {"base": Truth()}, blocks=4)
    with_images(stored, {block: {"app": OLD} for block in (1, 2, 3)} | {4: {"app": other}})
    new = experiment(tmp_path / "new", {"head": Truth()}, blocks=4, against=str(stored))
    comparison = analyse(new).comparison

    assert comparison
    assert len(comparison.lost["head"]) == (other == NEW)


def test_a_run_is_read_once(tmp_path: Path) -> None:
    """The final report uses what a look has analysed, even if the tables are gone by then."""
    folder, cache = experiment(tmp_path, blocks=3), RunCache()
    before = analyse(folder, cache=cache)
    for table in folder.glob("runs/*/*.parquet"):
        table.unlink()

    assert analyse(folder, cache=cache) == before
    assert not any(run.readable for run in analyse(folder).runs)


def test_a_run_whose_document_changed_is_read_again(tmp_path: Path) -> None:
    """The cache holds a run by its folder and its run.json."""
    folder, cache = experiment(tmp_path, blocks=3), RunCache()
    analyse(folder, cache=cache)
    run = RunFolder(next(folder.glob("runs/*base-b2")))
    busy = (Note(kind=NoteKind.GENERATOR_BUSY, text="95 %"),)
    documents.save_document(run, replace(documents.load_document(run), notes=busy))

    assert [each.block for each in analyse(folder, cache=cache).runs if each.measured.invalid] == [2]


def test_the_tables_used_last_are_cached(tmp_path: Path) -> None:
    """As many as have so many requests together; those of the last run in any case."""
    runs = [RunFolder(root) for root in sorted(experiment(tmp_path, blocks=3).glob("runs/*"))][:3]
    roomy, narrow = RunCache(), RunCache(rows=0)
    for cache in (roomy, narrow):
        first = [cache.recorded(run) for run in runs]
        again = [cache.recorded(run) for run in runs]
        assert [one is other for one, other in zip(first, again, strict=True)] == [cache is roomy] * 3
        assert cache.recorded(runs[2]) is again[2]
