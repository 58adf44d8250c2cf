"""Ownership labels of containers, networks and volumes, and whether their owner still lives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Self

from seatrial.stack.processes_ import PROC, process

RUN = "seatrial.run"
OWNER = "seatrial.owner"
DEADLINE = "seatrial.deadline"
KEPT = "seatrial.kept"
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
    marks = {RUN: run_id, OWNER: str(owner), DEADLINE: str(int(deadline_epoch_s))}
    return marks | ({KEPT: "yes"} if kept else {})
