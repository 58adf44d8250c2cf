"""A run or an experiment as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any

from seatrial.analysis.results import ExperimentResult, RunResult, ServiceResult, StoredRun
from seatrial.compare.budgets import BudgetResult
from seatrial.compare.comparison import NoiseFloor
from seatrial.compare.verdicts import Verdict
from seatrial.measure.generator import GeneratorUse
from seatrial.measure.metric import Metric
from seatrial.measure.requests import Traffic
from seatrial.model import Note
from seatrial.report import experiment_sections
from seatrial.report.run_sections import mend
from seatrial.units import NS_PER_S
from seatrial.wire.streams import SCHEMA_VERSION

VERSION = 1
_EFFECT = (
    *("effect", "low", "high", "equal_low", "equal_high", "equal_alpha"),
    *("p_value", "robust_effect", "robust_low", "robust_high", "sign_flip_p"),
    *("smallest_seen", "alpha", "blocks", "missing", "blocks_needed", "vetoed", "withheld", "reason"),
)


def text(weighed: ExperimentResult) -> str:
    """Return verdict.json."""
    return json.dumps(experiment_json(weighed), indent=1, allow_nan=False) + "\n"


def experiment_json(weighed: ExperimentResult) -> dict[str, Any]:
    """Return the experiment as JSON values; a null is what is not known."""
    comparison = weighed.comparison
    gated = experiment_sections.ordered(comparison.gated) if comparison else []
    exploratory = experiment_sections.ordered(comparison.exploratory) if comparison else []
    values: dict[str, Any] = _finite(
        {
            "schema_version": VERSION,
            "verdict": weighed.word,
            "reasons": list(experiment_sections.experiment_reasons(weighed)),
            "exit_code": weighed.exit_code(),
            "exit_code_strict": weighed.exit_code(strict=True),
            "experiment": _experiment(weighed),
            "compared": comparison is not None,
            "host_limited": comparison is not None and comparison.host_limited,
            "alpha": comparison.alpha if comparison else None,
            "gated": [_verdict(verdict) for verdict in gated],
            "exploratory": [_exploratory(weighed, verdict) for verdict in exploratory],
            "endings": [
                {**asdict(ending), "word": ending.word and str(ending.word)}
                for ending in (comparison.endings if comparison else ())
            ],
            "budgets": [
                {"variant": name, **budget(judged)} for name, judged in experiment_sections.by_variant(weighed)
            ],
            "levels": {
                name: {
                    metric: {"unit": str(weighed.metrics[metric].unit), **asdict(one)}
                    for metric, one in each.items()
                }
                for name, each in weighed.levels.items()
            },
            "noise_floor": [_floor(one) for one in weighed.floors],
            "runs": [_run(one, weighed) for one in weighed.runs],
            "unfinished": [{"variant": name, "block": block} for name, block in weighed.unfinished],
            "against": _against(weighed),
            "notes": list(weighed.notes),
        }
    )
    return values


def _experiment(weighed: ExperimentResult) -> dict[str, Any]:
    plan = weighed.plan
    return {
        "name": weighed.name,
        "folder": weighed.folder,
        "command": plan.command,
        "scenario": plan.scenario,
        "question": plan.question,
        "design": str(plan.design),
        "base": weighed.base,
        "variants": list(plan.variants),
        "seed": plan.seed,
        "blocks_planned": len(plan.blocks),
        "blocks_judged": list(weighed.numbers),
        "looks": [asdict(look) for look in plan.looks],
        "began_utc": moment(weighed.began_ns),
        "commit": weighed.commit or None,
    }


def moment(wall_ns: int | None) -> str | None:
    """Return `2026-11-21T06:15:00Z`."""
    return (
        None
        if wall_ns is None
        else datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    )


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "metric": metric.text,
        "unit": str(metric.unit),
        "scale": str(metric.scale),
        "worse": metric.worse,
        "threshold": metric.threshold,
    }


def _verdict(one: Verdict) -> dict[str, Any]:
    numbers = {name: getattr(one, name) for name in _EFFECT}
    return {"variant": one.variant, **_metric(one.metric), "word": str(one.word), "text": one.text, **numbers}


def _exploratory(weighed: ExperimentResult, one: Verdict) -> dict[str, Any]:
    hits = weighed.comparison.discoveries if weighed.comparison else frozenset()
    return {**_verdict(one), "discovery": (one.variant, one.metric.text) in hits}


def budget(one: BudgetResult) -> dict[str, Any]:
    """Return one judged budget: figures in its metric's unit, or a change where it is relative to the base."""
    return {
        "budget": one.budget.text,
        "metric": one.budget.metric.text,
        "unit": str(one.budget.metric.unit),
        "word": str(one.word),
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "limit": one.budget.limit,
        "within": one.budget.within,
        "reason": one.reason,
    }


def _floor(one: NoiseFloor) -> dict[str, Any]:
    return {
        **_metric(one.metric),
        "blocks": one.blocks,
        "scatter": one.scatter,
        "smallest_seen": one.smallest_seen,
        "refusal": one.refusal,
    }


def _run(one: StoredRun, weighed: ExperimentResult) -> dict[str, Any]:
    return {
        "variant": one.variant,
        "block": one.block,
        "used": not one.measured.invalid and one.measured.ended == "finished" and one.block in weighed.numbers,
        "ended": one.measured.ended,
        "invalid": one.measured.invalid,
        "requests": one.measured.requests,
        "began_utc": moment(one.began_ns),
        "folder": one.folder,
        "values": dict(one.measured.values),
    }


def _against(weighed: ExperimentResult) -> dict[str, Any] | None:
    against = weighed.against
    if against is None:
        return None
    return {
        "experiment": against.experiment,
        "subject": _differing(against.subject),
        "environment": _differing(against.environment),
        "left_out": list(against.left_out),
    }


def _differing(differences: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"fact": fact, "there": there, "here": here} for fact, there, here in differences]


def _finite(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """Replace what JSON has no number for."""
    if isinstance(value, dict):
        return {str(name): _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_SPANS = ("latency_ns", "service_ns", "first_byte_ns")
"""What a saturated run can't tell of the server."""


def run_json(review: RunResult) -> dict[str, Any]:
    """Return the report as JSON values; a null is a number that is not known."""
    about = _plain(asdict(review.info))
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
        "budgets": [budget(one) for one in review.budgets],
        "events": [_plain(asdict(event)) for event in review.events],
        "notes": [_note(note) for note in review.notes],
        "times": asdict(review.overheads),
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


def _service(placed: ServiceResult) -> dict[str, Any]:
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
