"""The same numbers for programs: every quantity's key names its unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from seatrial.analysis.contents import Placed, Review
from seatrial.measure.generator import GeneratorUse
from seatrial.measure.latency import Traffic
from seatrial.model import Note
from seatrial.report import json_export as experiment_json
from seatrial.report.mends import mend
from seatrial.wire.streams import SCHEMA_VERSION

_SPANS = ("latency_ns", "service_ns", "first_byte_ns")
"""What a saturated run can't tell of the server."""


def render(review: Review) -> dict[str, Any]:
    """Return the report as JSON values; a null is a number that is not known."""
    about = _plain(asdict(review.about))
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": "valid" if review.valid else "invalid",
        "run": about,
        "windowed": review.window.opened,
        "window_ns": review.window.length_ns,
        "saturated": review.saturated,
        "requests": _traffic(review.total, saturated=review.saturated),
        "endpoints": [_traffic(row, saturated=review.saturated) for row in review.endpoints],
        "flows": [_traffic(row, saturated=review.saturated) for row in review.flows],
        "flow_details": [asdict(one) for one in review.details],
        "services": [_service(placed) for placed in review.services],
        "generator": _generator(review.generator),
        "budgets": [experiment_json.budget(one) for one in review.budgets],
        "events": [_plain(asdict(event)) for event in review.events],
        "notes": [_note(note) for note in review.notes],
        "times": asdict(review.times),
    }


def _traffic(row: Traffic, *, saturated: bool) -> dict[str, Any]:
    values = {**_plain(asdict(row)), "failures": row.failures, "saturated": saturated}
    for name in _SPANS if saturated else ():
        values[name] = {key: value if key == "count" else None for key, value in values[name].items()}
    return values


def _generator(use: GeneratorUse) -> dict[str, Any]:
    values = asdict(use)
    if use.arrivals is not None:
        seen = use.arrivals
        values["arrivals"] |= {"completed_share": seen.completed_share, "growth": seen.growth}
    return values


def _service(placed: Placed) -> dict[str, Any]:
    return {"place": placed.place, **_plain(asdict(placed.use))}


def _note(note: Note) -> dict[str, Any]:
    return {"kind": str(note.kind), "text": note.text, "invalidates": note.invalidates, "mend": mend(note.kind)}


def _plain(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """Turn mappings and tuples into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return value
