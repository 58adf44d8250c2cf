"""What harness and sampler say to each other: JSON lines down, the word `ready` up, a summary file at the end.

Down: first the plan, then any number of `{"watch": {...}}`, at last `{"stop": true}`. The end of the input means
that the harness is gone, and is a stop too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seatrial.errors import ResultsUnwritable
from seatrial.model import Watch

READY = b"ready\n"
SUMMARY_FILE = "sampler.json"
EXIT_UNWRITABLE = ResultsUnwritable.exit_code
"""The sampler's exit code when its streams can't be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to watch, how often, where to write; `project` is the Compose project whose new containers count."""

    watches: tuple[Watch, ...]
    streams: Path
    events: Path
    project: str
    hz: float

    def encode(self) -> bytes:
        """Return the plan as a line."""
        return _line({**asdict(self), "streams": str(self.streams), "events": str(self.events)})

    @staticmethod
    def decode(line: bytes) -> Plan:
        """Read the plan's line; ValueError if it is not one."""
        fields = json.loads(line)
        return Plan(
            watches=tuple(Watch(**watch) for watch in fields["watches"]),
            streams=Path(fields["streams"]),
            events=Path(fields["events"]),
            project=fields["project"],
            hz=fields["hz"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the sampler did, and what it cost.

    `samples` counts rows and `sources` names the way of reading, for each service (`none`: never found). `cpu_s`
    and `wall_s` are the sampler's own, all threads, from its first tick on; `startup_cpu_s` is what came before.
    `container_sample_p50_ns` is the wall time of reading one container once; 0 without containers.
    """

    samples: Mapping[str, int]
    sources: Mapping[str, str]
    period_p50_ns: int
    period_p99_ns: int
    ticks: int
    missed_ticks: int
    container_sample_p50_ns: int
    cpu_s: float
    wall_s: float
    startup_cpu_s: float

    def write(self, streams: Path) -> None:
        """Write `sampler.json` beside the streams; ResultsUnwritable if that can't be."""
        path = streams / SUMMARY_FILE
        try:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        except OSError as error:
            raise ResultsUnwritable(
                "the sampler's summary can't be written", where=str(path), seen=str(error)
            ) from error

    @staticmethod
    def load(streams: Path) -> Summary:
        """Read `sampler.json`; FileNotFoundError if the sampler could not write it."""
        return Summary(**json.loads((streams / SUMMARY_FILE).read_text()))


STOP = b'{"stop":true}\n'


def watch_line(watch: Watch) -> bytes:
    """Return the message that adds a target."""
    return _line({"watch": asdict(watch)})


def watched(line: bytes) -> Watch | None:
    """Read a later message: the target to add, or None for a stop."""
    fields = json.loads(line)
    return Watch(**fields["watch"]) if "watch" in fields else None


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"
