"""Blocks whose images were built anew in between are not judged with the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from experiments import Truth, experiment

from seatrial.analysis.experiment import analyse
from seatrial.compare.comparison import Overall
from seatrial.record import documents
from seatrial.record.folder import RunFolder

SAME = {"base": Truth(), "again": Truth()}
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def _with_images(folder: Path, images: Mapping[int, Mapping[str, str]], variant: str = "") -> Path:
    """Write into the runs of these blocks what images they were of; into those of one variant, if it is named."""
    for run in map(RunFolder, folder.glob("runs/*")):
        document = documents.load_document(run)
        if document.block in images and variant in {"", document.variant}:
            subject = {**document.facts["subject"], "images": images[document.block]}
            documents.save_document(run, replace(document, facts={**document.facts, "subject": subject}))
    return folder


def _invalid(folder: Path) -> dict[tuple[str, int], str]:
    taken = analyse(folder).runs
    return {(one.variant, one.block): one.measured.invalid for one in taken if one.measured.invalid}


def test_a_block_of_other_images_than_most_is_shown_and_not_used(tmp_path: Path) -> None:
    """With what differs: the image of a service, and one that was not there before."""
    folder = experiment(tmp_path, SAME, blocks=5)
    _with_images(folder, {block: {"app": OLD} for block in (1, 3, 4, 5)})
    _with_images(folder, {2: {"app": NEW, "db": OLD}})

    why = (
        "other images: app sha256:bbbbbbbbbbbb, sha256:aaaaaaaaaaaa in most of its runs; "
        "db sha256:aaaaaaaaaaaa, none in most of its runs"
    )
    assert _invalid(folder) == {("base", 2): why, ("again", 2): why}
    comparison = analyse(folder).comparison
    assert comparison is not None
    assert comparison.lost["again"] == (why,)
    assert {one.blocks for one in comparison.gated} == {4}


def test_half_of_one_and_half_of_the_other_is_no_comparison(tmp_path: Path) -> None:
    """The first ones count, and the rest is more than may be lost."""
    folder = experiment(tmp_path, SAME, blocks=4)
    _with_images(folder, {block: {"app": OLD} for block in (1, 2)} | {block: {"app": NEW} for block in (3, 4)})

    assert {block for _, block in _invalid(folder)} == {3, 4}
    comparison = analyse(folder).comparison
    assert comparison is not None
    assert comparison.overall is Overall.INVALID


def test_variants_may_be_of_different_images(tmp_path: Path) -> None:
    """That may be what they are about; and images that nobody knows are no others."""
    folder = experiment(tmp_path, SAME, blocks=4)
    _with_images(folder, {block: {"app": OLD} for block in (1, 2, 3)}, variant="base")
    _with_images(folder, {block: {"app": NEW} for block in (1, 2, 3, 4)}, variant="again")

    assert _invalid(folder) == {}


def test_a_run_that_failed_stays_how_it_ended(tmp_path: Path) -> None:
    """Images that don't start are an ending, and are seen as one."""
    failed = Truth(changes={"status": "failed", "error": "the front door 'nginx' is not running", "spans": ()})
    folder = experiment(tmp_path, {"base": Truth(), "again": failed}, blocks=3)
    _with_images(folder, {1: {"app": OLD}, 2: {"app": OLD}, 3: {"app": NEW}}, variant="again")

    assert _invalid(folder) == {}


@pytest.mark.parametrize("other", [OLD, NEW])
def test_the_stored_runs_that_stand_for_a_base_are_looked_at_too(tmp_path: Path, other: str) -> None:
    """Two subjects would be one base."""
    stored = experiment(tmp_path, {"base": Truth()}, blocks=4)
    _with_images(stored, {block: {"app": OLD} for block in (1, 2, 3)} | {4: {"app": other}})
    here = experiment(tmp_path, {"base": Truth()}, blocks=4)
    documents.save_plan(
        here, replace(documents.load_plan(here), base="stored", against=str(stored), stored="base")
    )

    comparison = analyse(here).comparison

    assert comparison is not None
    assert len(comparison.lost["base"]) == (other == NEW)
