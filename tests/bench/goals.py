"""What the client is to cost at most, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Round, Row, ratio

_US = "seatrial"


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit, and what was seen; None: the run did not measure it."""

    text: str
    limit: float
    seen: float | None

    @property
    def word(self) -> str:
        """How it stands."""
        if self.seen is None:
            return "not measured"
        return "kept" if self.seen <= self.limit else "missed"


def goals(rounds: Sequence[Round], rows: Sequence[Row]) -> list[Goal]:
    """Return every goal with what these rounds say of it."""
    ours = {row["work"]: row for row in rows if row["client"] == _US}

    def told(work: str, figure: Callable[[Row], float | None]) -> float | None:
        return figure(ours[work]) if work in ours else None

    def against(work: str, peer: str) -> float | None:
        return ratio(rounds, (work, _US), (work, peer))

    return [
        Goal("a small request, over a bare gevent socket's", 2.0, against("small", "bare")),
        Goal("a small request, over hey's", 1.0, against("small", "hey")),
        Goal("a small request, over k6's", 0.5, against("small", "k6")),
        Goal("bodies drained, CPU-s/GiB", 0.25, told("drain", lambda row: row["cpu_s_per_gib"])),
        Goal("bodies read, CPU-s/GiB", 0.40, told("read", lambda row: row["cpu_s_per_gib"])),
        Goal("bodies hashed, over read plus the hash alone", 1.15, _over_read_and_hash(rows)),
        Goal(
            "bodies hashed, stall of another user p99, ms", 10.0, told("sha256", lambda row: row["stall_p99_ms"])
        ),
        Goal("bodies over TLS, over curl's", 1.2, against("tls", "curl")),
        Goal("peak of memory with large bodies, MiB", 60.0, _most_memory(rows)),
        Goal(
            "new connections among 1,500 kept ones",
            0,
            told("1500 connections", lambda row: row["new_connections"]),
        ),
    ]


def _over_read_and_hash(rows: Sequence[Row]) -> float | None:
    cost = {(row["work"], row["client"]): row["median"] for row in rows}
    parts = [cost.get(pair) for pair in (("sha256", _US), ("read", _US), ("sha256", "hashlib"))]
    hashed, read, alone = parts
    if hashed is None or read is None or alone is None:
        return None
    return hashed / (read + alone)


def _most_memory(rows: Sequence[Row]) -> float | None:
    return max(
        (row["peak_rss_mib"] for row in rows if row["client"] == _US and row["cpu_s_per_gib"]), default=None
    )
