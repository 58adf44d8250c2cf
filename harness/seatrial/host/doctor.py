"""What this host has and lacks, and what distorts a measurement on it, each with the command that mends it."""

from __future__ import annotations

from pathlib import Path

from seatrial.host.engine import engine_findings
from seatrial.host.finding import Finding
from seatrial.host.machine import machine_findings
from seatrial.host.sight import Host, look


def examine(host: Host | None = None, *, results: Path = Path("results")) -> tuple[Finding, ...]:
    """Return one finding for each thing that was looked at, the engine first; starts and changes nothing.

    Without `host` this machine is looked at, which takes about a second.
    """
    seen = look(results) if host is None else host
    return (*engine_findings(seen), *machine_findings(seen))
