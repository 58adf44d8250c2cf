"""Ownership labels of Docker objects, and the removal of what earlier runs left behind."""

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
from seatrial.stack.containers import PROJECT, docker_errors
from seatrial.stack.processes import PROC, process

RUN_LABEL = "seatrial.run"
OWNER_LABEL = "seatrial.owner"
DEADLINE_LABEL = "seatrial.deadline"
KEPT_LABEL = "seatrial.kept"
_MACHINE_ID = Path("/etc/machine-id")
_CONFLICT = 409
_LOOKS = 3
_LOOK_AGAIN_S = 0.7


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
    """Return the kernel's id of this boot (random(4))."""
    return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def pid_namespace(*, proc: Path = PROC) -> str:
    """Return the inode of our PID namespace (namespaces(7): `pid:[4026531836]`); empty if it can't be read."""
    try:
        return (proc / "self/ns/pid").readlink().name.removeprefix("pid:[").removesuffix("]")
    except OSError:
        return ""


def machine_id(*, file: Path = _MACHINE_ID) -> str:
    """Return a hash that identifies this host's installation; the id itself is confidential (machine-id(5))."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return sha256(f"seatrial {text}".encode()).hexdigest()[:16] if text else ""


def this_owner(*, proc: Path = PROC, machine: Path = _MACHINE_ID) -> Owner:
    """Return the identity of this process."""
    me = process(os.getpid(), proc=proc)
    return Owner(
        pid=os.getpid(),
        start_ticks=me.start_ticks if me else 0,
        boot=boot_id(proc=proc),
        pid_namespace=pid_namespace(proc=proc),
        machine=machine_id(file=machine),
    )


def life(owner: Owner, *, proc: Path = PROC, machine: Path = _MACHINE_ID) -> Life:
    """Return whether the process still runs: same pid, same start time, and not a zombie.

    UNKNOWN for a process of another host or another PID namespace. DEAD if this host was rebooted since.
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
    """Return the labels of everything that a run creates."""
    always = {RUN_LABEL: run_id, OWNER_LABEL: str(owner), DEADLINE_LABEL: str(int(deadline_epoch_s))}
    return always | ({KEPT_LABEL: "yes"} if kept else {})


class ObjectKind(StrEnum):
    """A kind of Docker object, in the order in which they have to be removed."""

    CONTAINER = "container"
    NETWORK = "network"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledObject:
    """One container, network or volume that a run created."""

    kind: ObjectKind
    id: str
    name: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def labelled_objects(client: docker.DockerClient, label: str = RUN_LABEL) -> list[LabelledObject]:
    """Return all that carries the label (`key` or `key=value`), containers first, volumes last."""
    only = {"label": label}
    listed: dict[ObjectKind, list[dict[str, Any]]] = {
        ObjectKind.CONTAINER: client.api.containers(all=True, filters=only),
        ObjectKind.NETWORK: client.api.networks(filters=only),
        ObjectKind.VOLUME: client.api.volumes(filters=only)["Volumes"] or [],
    }
    objects = []
    for kind, entries in listed.items():
        for entry in entries:
            name = entry["Names"][0].lstrip("/") if kind is ObjectKind.CONTAINER else entry["Name"]
            identity, marks = entry.get("Id", name), entry.get("Labels") or {}  # a volume has no id but its name
            objects.append(LabelledObject(kind=kind, id=identity, name=name, labels=marks))
    return objects


def remove_object(client: docker.DockerClient, item: LabelledObject) -> str:
    """Remove it, running or not; return what prevented that, or an empty text if it is gone."""
    try:
        match item.kind:
            case ObjectKind.CONTAINER:
                client.api.remove_container(item.id, force=True, v=True)
            case ObjectKind.NETWORK:
                client.api.remove_network(item.id)
            case ObjectKind.VOLUME:
                client.api.remove_volume(item.id, force=True)
    except NotFound:
        return ""
    except APIError as error:
        if error.status_code == _CONFLICT and "already in progress" in str(error):
            return ""  # another process removes it at the same time
        return f"{item}: {error.explanation or error}"
    return ""


def remove_all(
    client: docker.DockerClient, run_id: str, *, project: str | None = None
) -> tuple[list[str], list[str]]:
    """Remove what a run (or one of its projects) created; return what was removed, and the problems."""
    removed: list[str] = []
    problems: list[str] = []
    for item in labelled_objects(client, f"{RUN_LABEL}={run_id}"):
        if project is None or item.labels.get(PROJECT) == project:
            problem = remove_object(client, item)
            (problems if problem else removed).append(problem or str(item))
    return removed, problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """An object that may be removed, and the reason."""

    item: LabelledObject
    reason: str

    def __str__(self) -> str:
        return f"{self.item} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptProject:
    """A stack that `up` left running."""

    project: str
    run: str
    objects: tuple[LabelledObject, ...]


def find_leftovers(
    client: docker.DockerClient,
    *,
    life_of: Callable[[Owner], Life] = life,
    now: Callable[[], float] = time.time,
) -> list[Leftover]:
    """Return what has a dead owner and is not kept, and what is past its deadline without a living owner."""
    with docker_errors("looking for what is left"):
        objects = labelled_objects(client)
    reasons = [(item, reason_to_remove(item, life_of, now())) for item in objects]
    return [Leftover(item=item, reason=reason) for item, reason in reasons if reason]


def remove_objects(
    client: docker.DockerClient, objects: Sequence[LabelledObject], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Remove them in the given order, containers before networks; StackFailed with what could not be removed."""
    problems: list[str] = []
    for look in range(_LOOKS):
        if look:  # a network can't be removed before its containers are gone
            sleep(_LOOK_AGAIN_S)
        with docker_errors("removing what is left"):
            problems = [problem for item in objects if (problem := remove_object(client, item))]
        if not problems:
            return
    raise StackFailed("not all could be removed", seen="\n".join(problems), hint="`seatrial clean` tries again")


def kept_projects(client: docker.DockerClient) -> list[KeptProject]:
    """Return what `up` left, stack by stack."""
    with docker_errors("looking for kept stacks"):
        objects = labelled_objects(client, f"{KEPT_LABEL}=yes")
    groups: dict[tuple[str, str], list[LabelledObject]] = {}
    for item in objects:
        groups.setdefault((item.labels.get(PROJECT, ""), item.labels.get(RUN_LABEL, "")), []).append(item)
    return [
        KeptProject(project=project, run=run, objects=tuple(group))
        for (project, run), group in sorted(groups.items())
    ]


def reason_to_remove(item: LabelledObject, life_of: Callable[[Owner], Life], now_s: float) -> str:
    """Return why it may be removed, or an empty text: its labels have to be valid, and its owner must not live.

    Where it is unknown whether the owner lives, as on another host, only the deadline decides.
    """
    try:
        owner = Owner.parse(item.labels.get(OWNER_LABEL, ""))
        deadline_s = float(item.labels.get(DEADLINE_LABEL, ""))
    except ValueError:
        return ""  # not labels that we wrote: not ours to remove
    owner_life = life_of(owner)
    if owner_life is Life.ALIVE:
        return ""
    if now_s > deadline_s:
        return "its deadline has passed"
    if owner_life is Life.UNKNOWN or item.labels.get(KEPT_LABEL) == "yes":
        return ""
    return f"its owner, process {owner.pid}, is gone"
