"""What an engine needs to know about the stack that it is to bring up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from seatrial.model import FrontDoor, Probe, Variant

Say = Callable[[str], None]
"""Tells the user, in one line, what happens now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSpec:
    """One stack under one variant.

    `environment` holds the stack's settings and secrets; its values never reach a log. `work` is private to the
    run and may be deleted with it. `port` is the published port that is wanted (0: as the Compose file says).
    What is created counts as late `deadline_s` seconds after its creation. On `cores` of this host the services
    are to run; without any they may run on all. With `built` the images are known to be there.
    """

    run_id: str
    project: str
    compose_file: Path
    variant: Variant
    front_door: FrontDoor | None
    probes: tuple[Probe, ...]
    environment: Mapping[str, str]
    work: Path
    logs: Path
    deadline_s: float
    port: int = 0
    kept: bool = False
    cores: tuple[int, ...] = ()
    built: bool = False

    @property
    def folder(self) -> Path:
        """The stack folder: relative paths of the Compose file start here."""
        return self.compose_file.parent
