"""Ownership labels, and finding and removing what earlier runs left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import docker
from docker.errors import APIError, NotFound

from seatrial.errors import StackFailed
from seatrial.stack.containers import PROJECT, talking
from seatrial.stack.processes import PROC, process

RUN_LABEL = "seatrial.run"
OWNER_LABEL = "seatrial.owner"
DEADLINE_LABEL = "seatrial.deadline"
KEPT_LABEL = "seatrial.kept"
_MACHINE_ID = Path("/etc/machine-id")


class Life(StrEnum):
    """Whether a process lives, as far as this process can see."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Owner:
    """The identity of a process: distinct from a later one with its pid, and from one of another host.

    `pid_namespace` is the inode of its /proc/self/ns/pid, `machine` identifies the host's installation; either is
    empty where it could not be read.
    """

    pid: int
    start_ticks: int
    boot: str
    pid_namespace: str
    machine: str

    def __str__(self) -> str:
        return f"{self.pid}:{self.start_ticks}:{self.boot}:{self.pid_namespace}:{self.machine}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `pid:starttime:bootid:pidns:machineid`; ValueError if it is something else."""
        pid, start_ticks, boot, pid_namespace, machine = text.split(":")
        return cls(int(pid), int(start_ticks), boot, pid_namespace, machine)


def boot_id(*, proc: Path = PROC) -> str:
    """Return the kernel's id of this boot."""
    return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def pid_namespace(*, proc: Path = PROC) -> str:
    """Return the inode of our PID namespace (namespaces(7): `pid:[4026531836]`)."""
    try:
        return (proc / "self/ns/pid").readlink().name.removeprefix("pid:[").removesuffix("]")
    except OSError:
        return ""


def machine_id(*, file: Path = _MACHINE_ID) -> str:
    """Return an identifier of this host's installation, which a reboot does not change.

    A hash, because the id itself is confidential (machine-id(5)).
    """
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return sha256(f"seatrial {text}".encode()).hexdigest()[:16] if text else ""


def this_owner(*, proc: Path = PROC, machine: Path = _MACHINE_ID) -> Owner:
    """Return the process that this code runs in."""
    me = process(os.getpid(), proc=proc)
    return Owner(
        pid=os.getpid(),
        start_ticks=me.start_ticks if me else 0,
        boot=boot_id(proc=proc),
        pid_namespace=pid_namespace(proc=proc),
        machine=machine_id(file=machine),
    )


def life(owner: Owner, *, proc: Path = PROC, machine: Path = _MACHINE_ID) -> Life:
    """Return whether the very process still runs: same pid, same start time, and not a zombie.

    UNKNOWN for a process of another host or another PID namespace. A reboot of this host has ended all before it.
    """
    if owner.boot != boot_id(proc=proc):
        same_host = owner.machine != "" and owner.machine == machine_id(file=machine)
        return Life.DEAD if same_host else Life.UNKNOWN
    if owner.pid_namespace != pid_namespace(proc=proc):
        return Life.UNKNOWN
    running = process(owner.pid, proc=proc)
    if running is not None and running.start_ticks == owner.start_ticks and running.is_running:
        return Life.ALIVE
    return Life.DEAD


def labels(*, run_id: str, owner: Owner, deadline_epoch_s: float, kept: bool) -> dict[str, str]:
    """Return the labels that everything we create carries."""
    marks = {RUN_LABEL: run_id, OWNER_LABEL: str(owner), DEADLINE_LABEL: str(int(deadline_epoch_s))}
    return marks | ({KEPT_LABEL: "yes"} if kept else {})


_CONFLICT = 409


class ObjectKind(StrEnum):
    """A kind of Docker object, in the order in which they have to be removed."""

    CONTAINER = "container"
    NETWORK = "network"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One container, network or volume with a label of ours."""

    kind: ObjectKind
    id: str
    name: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def labelled(client: docker.DockerClient, label: str = RUN_LABEL) -> list[Labelled]:
    """Return all that carries the label (`key` or `key=value`), containers first, volumes last."""
    only = {"label": label}
    containers: list[dict[str, Any]] = client.api.containers(all=True, filters=only)
    networks: list[dict[str, Any]] = client.api.networks(filters=only)
    volumes: list[dict[str, Any]] = client.api.volumes(filters=only)["Volumes"] or []
    return [
        *(_labelled(ObjectKind.CONTAINER, one, one["Id"], one["Names"][0].lstrip("/")) for one in containers),
        *(_labelled(ObjectKind.NETWORK, one, one["Id"], one["Name"]) for one in networks),
        *(_labelled(ObjectKind.VOLUME, one, one["Name"], one["Name"]) for one in volumes),
    ]


def remove_thing(client: docker.DockerClient, thing: Labelled) -> str:
    """Remove one thing, running or not; return what prevented it, or an empty text if it is gone."""
    try:
        match thing.kind:
            case ObjectKind.CONTAINER:
                client.api.remove_container(thing.id, force=True, v=True)
            case ObjectKind.NETWORK:
                client.api.remove_network(thing.id)
            case ObjectKind.VOLUME:
                client.api.remove_volume(thing.id, force=True)
    except NotFound:
        return ""
    except APIError as error:
        if error.status_code == _CONFLICT and "already in progress" in str(error):
            return ""  # another process removes it just now
        return f"{thing}: {error.explanation or error}"
    return ""


def remove_all(
    client: docker.DockerClient, run_id: str, *, project: str | None = None
) -> tuple[list[str], list[str]]:
    """Remove what a run (or one of its projects) created; return what was removed, and the problems."""
    removed: list[str] = []
    problems: list[str] = []
    for thing in labelled(client, f"{RUN_LABEL}={run_id}"):
        if project is None or thing.labels.get(PROJECT) == project:
            problem = remove_thing(client, thing)
            (problems if problem else removed).append(problem or str(thing))
    return removed, problems


def _labelled(kind: ObjectKind, shown: Mapping[str, Any], identity: str, name: str) -> Labelled:
    return Labelled(kind=kind, id=identity, name=name, labels=shown.get("Labels") or {})


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
        return self.thing.labels[RUN_LABEL]

    def __str__(self) -> str:
        return f"{self.thing} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackToKeep:
    """A stack that `up` left running; `clean` may remove it after `deadline_epoch_s`."""

    project: str
    run: str
    deadline_epoch_s: float
    things: tuple[Labelled, ...]


def find_leftovers(
    client: docker.DockerClient,
    *,
    life_of: Callable[[Owner], Life] = life,
    now: Callable[[], float] = time.time,
) -> list[Leftover]:
    """Return what has a dead owner and is not kept, and what is past its deadline without a living owner."""
    with talking("looking for what is left"):
        things = labelled(client)
    judged = [(thing, reason_to_remove(thing, life_of, now())) for thing in things]
    return [Leftover(thing=thing, reason=reason) for thing, reason in judged if reason]


def remove_leftovers(
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
            problems = [problem for thing in things if (problem := remove_thing(client, thing))]
        if not problems:
            return
    raise StackFailed("not all could be removed", seen="\n".join(problems), hint="`seatrial clean` tries again")


def stacks_kept(client: docker.DockerClient) -> list[StackToKeep]:
    """Return what `up` left, stack by stack."""
    with talking("looking for kept stacks"):
        things = labelled(client, f"{KEPT_LABEL}=yes")
    groups: dict[tuple[str, str], list[Labelled]] = {}
    for thing in things:
        groups.setdefault((thing.labels.get(PROJECT, ""), thing.labels.get(RUN_LABEL, "")), []).append(thing)
    return [
        StackToKeep(project=project, run=run, deadline_epoch_s=_deadline(members[0]) or 0.0, things=tuple(members))
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
    if lives is Life.UNKNOWN or thing.labels.get(KEPT_LABEL) == "yes":
        return ""
    return f"its owner, process {owner.pid}, is gone"


def _owner(thing: Labelled) -> Owner | None:
    try:
        return Owner.parse(thing.labels.get(OWNER_LABEL, ""))
    except ValueError:
        return None


def _deadline(thing: Labelled) -> float | None:
    try:
        return float(thing.labels.get(DEADLINE_LABEL, ""))
    except ValueError:
        return None
