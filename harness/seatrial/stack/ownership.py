"""Labels that say whose a container, network or volume is, and whether its owner still lives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from seatrial.stack.processes import PROC, process

RUN = "seatrial.run"
OWNER = "seatrial.owner"
DEADLINE = "seatrial.deadline"
KEPT = "seatrial.kept"


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that can't be mistaken for a later one with the same number."""

    pid: int
    start_ticks: int
    boot: str

    def __str__(self) -> str:
        return f"{self.pid}:{self.start_ticks}:{self.boot}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `pid:starttime:bootid`; ValueError if it is something else."""
        pid, start_ticks, boot = text.split(":")
        return cls(int(pid), int(start_ticks), boot)


def boot_id(*, proc: Path = PROC) -> str:
    """Return the kernel's id of this boot."""
    return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def this_owner(*, proc: Path = PROC) -> Owner:
    """Return the process that this code runs in."""
    me = process(os.getpid(), proc=proc)
    return Owner(os.getpid(), me.start_ticks if me else 0, boot_id(proc=proc))


def is_alive(owner: Owner, *, proc: Path = PROC) -> bool:
    """Tell whether the very process still runs: same number, same start time, same boot, and not a zombie."""
    found = process(owner.pid, proc=proc)
    return (
        owner.boot == boot_id(proc=proc)
        and found is not None
        and found.start_ticks == owner.start_ticks
        and found.is_running
    )


def labels(*, run_id: str, owner: Owner, deadline_epoch_s: float, kept: bool) -> dict[str, str]:
    """Return the labels that everything we create carries."""
    marks = {RUN: run_id, OWNER: str(owner), DEADLINE: str(int(deadline_epoch_s))}
    return marks | ({KEPT: "yes"} if kept else {})
