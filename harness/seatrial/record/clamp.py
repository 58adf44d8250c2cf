"""The phases of a run that was cut short: run.json has them as they were planned, its streams as they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from seatrial.model import Span
from seatrial.record.documents import RunDocument
from seatrial.record.tables import Part
from seatrial.wire.streams import NULL

CUT_SHORT = frozenset({"interrupted", "failed", "recovered"})
_STAMPS = {"requests": "t_end_ns", "samples": "t_ns"}


def clamped(document: RunDocument, parts: Iterable[Part]) -> RunDocument:
    """Return the document with its spans ended at the last stamp of the streams, if the run was cut short."""
    if document.status not in CUT_SHORT:
        return document
    return replace(document, spans=until(document.spans, _last_stamp(parts)))


def until(spans: Sequence[Span], last_ns: int) -> tuple[Span, ...]:
    """Return the spans as far as `last_ns`, without those that had not begun."""
    begun = [span for span in spans if span.from_ns < last_ns]
    return tuple(replace(span, until_ns=min(span.until_ns, last_ns + 1)) for span in begun)


def _last_stamp(parts: Iterable[Part]) -> int:
    return max(
        (int(part.rows[_STAMPS[part.layout.table]].max()) for part in parts if len(part.rows)), default=NULL
    )
