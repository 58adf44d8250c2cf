"""Bytes that proxies fetched from the origin, read from their access logs into rows of the table `tiers`.

A line says when its request ended, in seconds since the epoch, how long it took, and how many bytes came from the
origin, as `key=value` or as a JSON object. nginx writes such a count for each server that was asked, separated by
commas, and by colons after an internal redirect; `-` stands for a server that was not reached
(https://nginx.org/en/docs/http/ngx_http_upstream_module.html, `$upstream_addr`): they are added up.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from seatrial.measure.origin import ORIGIN_BYTES
from seatrial.model import AccessLog, Span
from seatrial.record.documents import RunDocument
from seatrial.units import NS_PER_S

_LONGEST_LINE = 1 << 16
_COUNTS = r"(?:-|\d{1,18})(?:\s*[,:]\s*(?:-|\d{1,18}))*"
_SECONDS = r"\d{1,10}(?:\.\d{1,9})?"
"""Numbers with more digits are none: a stamp has to fit into 64 bits of nanoseconds."""
_MOST_NS = 1 << 62
_LIST = re.compile(rf"{_COUNTS}\Z")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class _LineReader:
    """Reads the lines of one kind of access log; `epoch_ns` is the wall clock at moment 0 of the run's clock."""

    declared: AccessLog
    epoch_ns: int

    def read(self, line: str) -> tuple[int, int] | None:
        """Return when the request of a line began, and its bytes from the origin; None for any other line."""
        counts, ended, took = self._of_json(line) if line.startswith("{") else self._of_pairs(line)
        if not _LIST.match(counts) or not re.fullmatch(_SECONDS, ended):
            return None
        took_s = float(took) if re.fullmatch(_SECONDS, took) else 0.0
        began_ns = round((float(ended) - took_s) * NS_PER_S) - self.epoch_ns
        if abs(began_ns) > _MOST_NS:
            return None
        return began_ns, sum(map(int, _NUMBER.findall(counts)))

    def _of_pairs(self, line: str) -> tuple[str, str, str]:
        found = [pattern.search(line) for pattern in self._patterns]
        counts, ended, took = ("" if match is None else match[1] for match in found)
        return counts, ended, took

    def _of_json(self, line: str) -> tuple[str, str, str]:
        try:
            values = json.loads(line)
        except (RecursionError, ValueError):
            return "", "", ""
        counts, ended, took = (str(values.get(key, "")).strip() for key in self._keys)
        return counts, ended, took

    @property
    def _keys(self) -> tuple[str, str, str]:
        return self.declared.origin, self.declared.time, self.declared.took

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        values = (_COUNTS, _SECONDS, _SECONDS)
        return tuple(
            re.compile(rf'(?<![\w.-]){re.escape(key)}="?({value})(?!\d)')
            for key, value in zip(self._keys, values, strict=True)
        )


@dataclass(slots=True)
class OriginLogs:
    """The declared access logs of one run; `unread` tells, once they are read, which of them told nothing.

    Memory holds one number for each second and phase, however long a log is.
    """

    folder: Path
    document: RunDocument
    unread: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """Return the bytes of each second and phase, by service; a request counts where it began."""
        rows = []
        for service, values in (self.document.scenario.get("logs") or {}).items():
            declared = AccessLog(**values)
            counted = self._counted(service, declared)
            if not counted:
                self.unread.append(
                    f"{service}: no line of {_file_name(service, declared)} in logs/ has both "
                    f"{declared.time} and {declared.origin}"
                )
            rows += [
                {"t_ns": t_ns, "service": service, "counter": ORIGIN_BYTES, "value": float(count)}
                for t_ns, count in counted
            ]
        return sorted(rows, key=lambda row: row["t_ns"])

    def _counted(self, service: str, declared: AccessLog) -> list[tuple[int, int]]:
        """Return the last stamp and the bytes of each second and phase."""
        clock = self.document.clock
        reader = _LineReader(declared, clock.get("wall_ns", 0) - clock.get("monotonic_ns", 0))
        edges = _edges(self.document.spans)
        counted: dict[tuple[int, int], tuple[int, int]] = {}
        for path in _files(self.folder, service, declared):
            for line in _lines(path):
                read = reader.read(line)
                if read is None:
                    continue
                t_ns, count = read
                key = (t_ns // NS_PER_S, bisect_right(edges, t_ns))
                last_ns, before = counted.get(key, (t_ns, 0))
                counted[key] = (max(last_ns, t_ns), before + count)
        return list(counted.values())


def _file_name(service: str, declared: AccessLog) -> str:
    return f"{service}-{declared.file}" if declared.file else f"{service}.log"


def _files(folder: Path, service: str, declared: AccessLog) -> Sequence[Path]:
    """Return the saved logs of a service's containers, which are numbered where it has several."""
    ending = f"-{declared.file}" if declared.file else ".log"
    name = re.compile(rf"{re.escape(service)}(-\d+)?{re.escape(ending)}")
    return sorted(path for path in folder.glob("*") if name.fullmatch(path.name) and path.is_file())


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, of any length, without those that are too long for a log."""
    with path.open("rb") as stream:
        whole = True
        while line := stream.readline(_LONGEST_LINE):
            ended = line.endswith(b"\n")
            if whole and (ended or len(line) < _LONGEST_LINE):
                yield line.decode(errors="replace").strip()
            whole = ended


def _edges(spans: Sequence[Span]) -> list[int]:
    """Return where phases begin and end."""
    return sorted({edge for span in spans for edge in (span.from_ns, span.until_ns)})
