"""Findings about this host: what it lacks, and what distorts a measurement, with the commands that mend it."""

from __future__ import annotations

from pathlib import Path

from seatrial.host.doctor import engine_findings
from seatrial.host.finding import Finding
from seatrial.host.machine import machine_findings
from seatrial.host.probe import Host, look


def examine(host: Host | None = None, *, results: Path = Path("results")) -> tuple[Finding, ...]:
    """Return all findings, the engine's first; starts and changes nothing.

    Without `host` this machine is examined, which takes about a second.
    """
    examined = look(results) if host is None else host
    return (*engine_findings(examined), *machine_findings(examined))
