"""Labelled objects that earlier runs left behind, and stacks that `up` keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import docker

from seatrial.errors import StackFailed
from seatrial.stack import removal
from seatrial.stack.daemon import PROJECT, talking
from seatrial.stack.ownership import DEADLINE, KEPT, OWNER, RUN, Life, Owner, life
from seatrial.stack.removal import Labelled

_LOOKS = 3
_LOOK_AGAIN_S = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One labelled thing that may be removed, and the reason."""

    thing: Labelled
    reason: str

    @property
    def run(self) -> str:
        """The run that created it."""
        return self.thing.labels[RUN]

    def __str__(self) -> str:
        return f"{self.thing} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptStack:
    """A stack that `up` left running; `clean` may remove it after `deadline_epoch_s`."""

    project: str
    run: str
    deadline_epoch_s: float
    things: tuple[Labelled, ...]


def find(
    client: docker.DockerClient,
    *,
    life_of: Callable[[Owner], Life] = life,
    now: Callable[[], float] = time.time,
) -> list[Leftover]:
    """Return what has a dead owner and is not kept, and what is past its deadline without a living owner."""
    with talking("looking for what is left"):
        things = removal.labelled(client)
    judged = [(thing, reason_to_remove(thing, life_of, now())) for thing in things]
    return [Leftover(thing=thing, reason=reason) for thing, reason in judged if reason]


def remove(
    client: docker.DockerClient,
    leftovers: Sequence[Leftover | Labelled],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Remove them, containers first; StackFailed with what could not be removed."""
    things = [one.thing if isinstance(one, Leftover) else one for one in leftovers]
    problems: list[str] = []
    for look in range(_LOOKS):
        if look:  # a network can't be removed before its containers are gone
            sleep(_LOOK_AGAIN_S)
        with talking("removing what is left"):
            problems = [problem for thing in things if (problem := removal.remove_thing(client, thing))]
        if not problems:
            return
    raise StackFailed("not all could be removed", seen="\n".join(problems), hint="`seatrial clean` tries again")


def stacks_kept(client: docker.DockerClient) -> list[KeptStack]:
    """Return what `up` left, stack by stack."""
    with talking("looking for kept stacks"):
        things = removal.labelled(client, f"{KEPT}=yes")
    groups: dict[tuple[str, str], list[Labelled]] = {}
    for thing in things:
        groups.setdefault((thing.labels.get(PROJECT, ""), thing.labels.get(RUN, "")), []).append(thing)
    return [
        KeptStack(project=project, run=run, deadline_epoch_s=_deadline(members[0]) or 0.0, things=tuple(members))
        for (project, run), members in sorted(groups.items())
    ]


def reason_to_remove(thing: Labelled, life_of: Callable[[Owner], Life], now_s: float) -> str:
    """Return why it may be removed, or an empty text: it has to carry our labels, and its owner must not live.

    Where it is unknown here whether the owner lives, as of one on another host, only the deadline decides.
    """
    owner, deadline_s = _owner(thing), _deadline(thing)
    if owner is None or deadline_s is None:
        return ""  # not a label that we wrote: not ours to remove
    lives = life_of(owner)
    if lives is Life.ALIVE:
        return ""
    if now_s > deadline_s:
        return "its deadline has passed"
    if lives is Life.UNKNOWN or thing.labels.get(KEPT) == "yes":
        return ""
    return f"its owner, process {owner.pid}, is gone"


def _owner(thing: Labelled) -> Owner | None:
    try:
        return Owner.parse(thing.labels.get(OWNER, ""))
    except ValueError:
        return None


def _deadline(thing: Labelled) -> float | None:
    try:
        return float(thing.labels.get(DEADLINE, ""))
    except ValueError:
        return None
