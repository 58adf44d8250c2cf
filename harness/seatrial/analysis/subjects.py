"""Whether all runs of a variant were of one subject: the images that its containers were made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from seatrial.analysis.stored_runs import AnalysedRun
from seatrial.compare import facts

_DIGITS = len("sha256:") + 12


def mark_image_mismatches(runs: Sequence[AnalysedRun]) -> list[AnalysedRun]:
    """Return the runs, those of other images than most of their variant's (of equally many, the first) as invalid.

    The images were built or pulled in between: the effect over such blocks would be that of two configurations.
    A commit is no such fact, as one may change nothing of the stack; nor are images that are not known, as with
    the embedded engine. A run that failed stays how it ended.
    """
    usual: dict[str, Mapping[str, str]] = {}
    for name in {run.taken.variant for run in runs}:
        counts = Counter(tuple(sorted(_images(run).items())) for run in runs if run.taken.variant == name)
        del counts[()]
        usual[name] = dict(counts.most_common(1)[0][0]) if counts else {}
    return [_checked(run, usual[run.taken.variant]) for run in runs]


def _checked(run: AnalysedRun, usual: Mapping[str, str]) -> AnalysedRun:
    images, measured = _images(run), run.taken.run
    if not images or images == usual or measured.invalid or run.document.status == "failed":
        return run
    differing = [
        f"{name} {_short(images, name)}, {_short(usual, name)} in most of its runs"
        for name in facts.differing(usual, images)
    ]
    invalid = replace(measured, invalid=f"other images: {'; '.join(differing)}")
    return replace(run, taken=replace(run.taken, run=invalid))


def _images(run: AnalysedRun) -> Mapping[str, str]:
    return (run.document.facts.get("subject") or {}).get("images") or {}


def _short(images: Mapping[str, str], name: str) -> str:
    return images.get(name, "none")[:_DIGITS]
