"""JSON export of a run (`show --json`) and of an experiment (verdict.json)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from seatrial.analysis.results import ExperimentResult, RunResult, StoredRun
from seatrial.compare.budgets import BudgetResult
from seatrial.compare.comparison import NoiseFloor
from seatrial.compare.verdicts import Verdict
from seatrial.measure.metric import Metric
from seatrial.measure.requests import Traffic
from seatrial.record import documents
from seatrial.report import experiment_sections
from seatrial.report.run_sections import ADVICE
from seatrial.units import NS_PER_S
from seatrial.wire.streams import SCHEMA_VERSION

VERSION = 1
_EFFECT = (
    *("effect", "low", "high", "equal_low", "equal_high", "equal_alpha"),
    *("p_value", "robust_effect", "robust_low", "robust_high", "sign_flip_p"),
    *("smallest_seen", "alpha", "blocks", "missing", "blocks_needed", "vetoed", "withheld", "reason"),
)


def text(result: ExperimentResult) -> str:
    """Return the text of verdict.json."""
    return json.dumps(experiment_json(result), indent=1, allow_nan=False) + "\n"


def experiment_json(result: ExperimentResult) -> dict[str, Any]:
    """Return the experiment as JSON values; null is unknown."""
    comparison = result.comparison
    gated = experiment_sections.ordered(comparison.gated) if comparison else []
    exploratory = experiment_sections.ordered(comparison.exploratory) if comparison else []
    discoveries = comparison.discoveries if comparison else frozenset()
    values: dict[str, Any] = _json(
        {
            "schema_version": VERSION,
            "verdict": result.word,
            "reasons": list(experiment_sections.reasons(result)),
            "exit_code": result.exit_code(),
            "exit_code_strict": result.exit_code(strict=True),
            "experiment": _experiment(result),
            "compared": comparison is not None,
            "host_limited": comparison is not None and comparison.host_limited,
            "alpha": comparison.alpha if comparison else None,
            "gated": [_verdict(verdict) for verdict in gated],
            "exploratory": [
                {**_verdict(verdict), "discovery": (verdict.variant, verdict.metric.text) in discoveries}
                for verdict in exploratory
            ],
            "endings": [
                {**asdict(ending), "word": ending.word and str(ending.word)}
                for ending in (comparison.endings if comparison else ())
            ],
            "budgets": [
                {"variant": name, **_budget(judged)} for name, judged in experiment_sections.by_variant(result)
            ],
            "levels": {
                name: {
                    metric: {"unit": str(result.metrics[metric].unit), **asdict(mean)}
                    for metric, mean in each.items()
                }
                for name, each in result.levels.items()
            },
            "noise_floor": [_floor(floor) for floor in result.floors],
            "runs": [_run(run, result) for run in result.runs],
            "unfinished": [{"variant": name, "block": block} for name, block in result.unfinished],
            "against": _against(result),
            "notes": list(result.notes),
        }
    )
    return values


def _experiment(result: ExperimentResult) -> dict[str, Any]:
    plan = result.plan
    return {
        "name": result.name,
        "folder": result.folder,
        "command": plan.command,
        "scenario": plan.scenario,
        "question": plan.question,
        "design": str(plan.design),
        "base": result.base,
        "variants": list(plan.variants),
        "seed": plan.seed,
        "blocks_planned": len(plan.blocks),
        "blocks_judged": list(result.numbers),
        "looks": [asdict(look) for look in plan.looks],
        "began_utc": moment(result.began_ns),
        "commit": result.commit or None,
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


def _verdict(verdict: Verdict) -> dict[str, Any]:
    numbers = {name: getattr(verdict, name) for name in _EFFECT}
    return {
        "variant": verdict.variant,
        **_metric(verdict.metric),
        "word": str(verdict.word),
        "text": verdict.text,
        **numbers,
    }


def _budget(judged: BudgetResult) -> dict[str, Any]:
    """Return a budget's result: numbers in its metric's unit, or changes if it is relative to the base."""
    return {
        "budget": judged.budget.text,
        "metric": judged.budget.metric.text,
        "unit": str(judged.budget.metric.unit),
        "word": str(judged.word),
        "value": judged.value,
        "low": judged.low,
        "high": judged.high,
        "limit": judged.budget.limit,
        "within": judged.budget.within,
        "reason": judged.reason,
    }


def _floor(floor: NoiseFloor) -> dict[str, Any]:
    return {
        **_metric(floor.metric),
        "blocks": floor.blocks,
        "scatter": floor.scatter,
        "smallest_seen": floor.smallest_seen,
        "refusal": floor.refusal,
    }


def _run(run: StoredRun, result: ExperimentResult) -> dict[str, Any]:
    return {
        "variant": run.variant,
        "block": run.block,
        "used": run.usable and run.block in result.numbers,
        "ended": run.measured.ended,
        "invalid": run.measured.invalid,
        "requests": run.measured.requests,
        "began_utc": moment(run.began_ns),
        "folder": run.folder,
        "values": dict(run.measured.values),
    }


def _against(result: ExperimentResult) -> dict[str, Any] | None:
    against = result.against
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


def _json(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """Return a value as JSON has it: lists, texts as keys, and None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(name): _json(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_SPANS = ("latency_ns", "service_ns", "first_byte_ns")
"""Durations that a saturated run does not show: they grow with its length."""


def run_json(result: RunResult) -> dict[str, Any]:
    """Return the run as JSON values; null is unknown."""
    generator, arrivals = asdict(result.generator), result.generator.arrivals
    if arrivals is not None:
        generator["arrivals"] |= {"completed_share": arrivals.completed_share, "growth": arrivals.growth}
    values = {
        "schema_version": SCHEMA_VERSION,
        "verdict": "valid" if result.valid else "invalid",
        "run": asdict(result.info),
        "windowed": result.window.opened,
        "window_ns": result.window.length_ns,
        "saturated": result.saturated,
        "requests": _traffic(result.total, saturated=result.saturated),
        "endpoints": [_traffic(row, saturated=result.saturated) for row in result.endpoints],
        "flows": [_traffic(row, saturated=result.saturated) for row in result.flows],
        "flow_details": [asdict(detail) for detail in result.details],
        "viewers": [
            {**asdict(one), "received_per_played": one.received_per_played, "repeated": one.repeated}
            for one in result.viewers
        ],
        "origin": [asdict(one) for one in result.origin],
        "services": [{"place": service.place, **asdict(service.use)} for service in result.services],
        "generator": generator,
        "budgets": [_budget(judged) for judged in result.budgets],
        "events": [asdict(event) for event in result.events],
        "notes": [
            {
                "kind": str(note.kind),
                "text": note.text,
                "invalidates": note.invalidates,
                "mend": ADVICE.get(note.kind, ""),
            }
            for note in result.notes
        ],
        "times": asdict(result.overheads),
        **({} if result.ranges is None else {"ranges": documents.ranges_values(result.ranges)}),
    }
    json_values: dict[str, Any] = _json(values)
    return json_values


def _traffic(row: Traffic, *, saturated: bool) -> dict[str, Any]:
    values = {**asdict(row), "failures": row.failures, "saturated": saturated}
    for name in _SPANS if saturated else ():
        values[name] = {key: value if key == "count" else None for key, value in values[name].items()}
    return values
