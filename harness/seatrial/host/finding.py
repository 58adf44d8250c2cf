"""A finding of the doctor: one aspect of the machine, and whether it is in order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`lacks`: something can't be done here; `distorts`: a measurement here differs from one elsewhere."""

    OK = "ok"
    LACKS = "lacks"
    DISTORTS = "distorts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One aspect: what was seen, why it matters, and the command that mends it; both empty where all is well."""

    name: str
    state: State
    seen: str
    why: str = ""
    mend: str = ""


def ok(name: str, seen: str) -> Finding:
    """Return that all is well."""
    return Finding(name=name, state=State.OK, seen=seen)


def lacks(name: str, seen: str, *, why: str, mend: str) -> Finding:
    """Return that something can't be done here."""
    return Finding(name=name, state=State.LACKS, seen=seen, why=why, mend=mend)


def distorts(name: str, seen: str, *, why: str, mend: str) -> Finding:
    """Return that a measurement here differs from one elsewhere."""
    return Finding(name=name, state=State.DISTORTS, seen=seen, why=why, mend=mend)
