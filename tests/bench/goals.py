"""The limits of the client's costs, and whether they are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Round, Row, ratio

_US = "seatrial"


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit, and the measured value; None: the run did not measure it."""

    text: str
    limit: float
    value: float | None

    @property
    def word(self) -> str:
        """`kept`, `missed` or `not measured`."""
        if self.value is None:
            return "not measured"
        return "kept" if self.value <= self.limit else "missed"


def goals(rounds: Sequence[Round], rows: Sequence[Row]) -> list[Goal]:
    """Return every goal with its value in these rounds."""
    rows_of_client = {row["work"]: row for row in rows if row["client"] == _US}

    def own(work: str, figure: Callable[[Row], float | None]) -> float | None:
        return figure(rows_of_client[work]) if work in rows_of_client else None

    def against(work: str, peer: str) -> float | None:
        return ratio(rounds, (work, _US), (work, peer))

    return [
        Goal("a small request, over a bare gevent socket's", 2.0, against("small", "bare")),
        Goal("a small request, over hey's", 1.0, against("small", "hey")),
        Goal("a small request, over k6's", 0.5, against("small", "k6")),
        Goal("bodies drained, CPU-s/GiB", 0.25, own("drain", lambda row: row["cpu_s_per_gib"])),
        Goal("bodies read, CPU-s/GiB", 0.40, own("read", lambda row: row["cpu_s_per_gib"])),
        Goal("bodies hashed, over read plus the hash alone", 1.15, _over_read_and_hash(rows)),
        Goal("bodies hashed, stall of another user p99, ms", 10.0, own("sha256", lambda row: row["stall_p99_ms"])),
        Goal("bodies over TLS, over curl's", 1.2, against("tls", "curl")),
        Goal("peak of memory with large bodies, MiB", 60.0, _most_memory(rows)),
        Goal(
            "new connections among 1,500 kept ones", 0, own("1500 connections", lambda row: row["new_connections"])
        ),
    ]


def _over_read_and_hash(rows: Sequence[Row]) -> float | None:
    cost = {(row["work"], row["client"]): row["median"] for row in rows}
    hashed, read, alone = (cost.get(pair) for pair in (("sha256", _US), ("read", _US), ("sha256", "hashlib")))
    if hashed is None or read is None or alone is None:
        return None
    return hashed / (read + alone)


def _most_memory(rows: Sequence[Row]) -> float | None:
    peaks = [row["peak_rss_mib"] for row in rows if row["client"] == _US and row["cpu_s_per_gib"]]
    return max(peaks, default=None)
