"""Whether all runs of a variant were of one subject: the images that its containers were made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from seatrial.judge import facts
from seatrial.weighing.runs import Found

_DIGITS = len("sha256:") + 12


def alike(found: Sequence[Found]) -> list[Found]:
    """Return the runs, those of other images than most of their variant's (of equally many, the first) as invalid.

    Somebody has built or pulled them in between: the effect over such blocks would be that of two configurations.
    A commit is no such fact, as one may change nothing of the stack; nor are images that nobody knows, as those of
    the embedded engine. A run that failed stays how it ended.
    """
    usual = {name: _usual([one for one in found if one.taken.variant == name]) for name in _names(found)}
    return [_checked(one, usual[one.taken.variant]) for one in found]


def _names(found: Sequence[Found]) -> list[str]:
    return list(dict.fromkeys(one.taken.variant for one in found))


def _usual(mine: Sequence[Found]) -> Mapping[str, str]:
    known = [images for one in mine if (images := _images(one))]
    counts = Counter(tuple(sorted(one.items())) for one in known)
    return dict(counts.most_common(1)[0][0]) if counts else {}


def _checked(one: Found, usual: Mapping[str, str]) -> Found:
    images, run = _images(one), one.taken.run
    if not images or images == usual or run.invalid or one.document.status == "failed":
        return one
    told = [
        f"{name} {_short(images, name)}, {_short(usual, name)} in most of its runs"
        for name in facts.differing(usual, images)
    ]
    return replace(one, taken=replace(one.taken, run=replace(run, invalid=f"other images: {'; '.join(told)}")))


def _images(one: Found) -> Mapping[str, str]:
    return (one.document.facts.get("subject") or {}).get("images") or {}


def _short(images: Mapping[str, str], name: str) -> str:
    return images.get(name, "none")[:_DIGITS]
