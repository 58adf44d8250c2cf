"""What a command will do, written down before anything starts; and a scenario as plain JSON values."""

from __future__ import annotations

import difflib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seatrial.errors import UsageError
from seatrial.model import Comparing, Scenario, Variant
from seatrial.wire.rates import Rate


def variant_of(scenario: Scenario, name: str) -> Variant:
    """Return the variant of this name; UsageError if the scenario has none."""
    if name not in scenario.variants:
        close = difflib.get_close_matches(name, scenario.variants, n=1)
        raise UsageError(
            f"the scenario has no variant {name!r}",
            where=str(scenario.path),
            expected=f"one of: {', '.join(scenario.variants)}",
            hint=f"did you mean {close[0]}?" if close else "",
        )
    return scenario.variants[name]


def resolved(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as JSON values, every default filled in, quantities with their unit in the name."""
    load = scenario.load
    return {
        "name": scenario.name,
        "path": str(scenario.path),
        "question": scenario.question,
        "compose_file": str(scenario.compose_file),
        "front_door": scenario.front_door and asdict(scenario.front_door),
        "ready": [{"path": p.path, "expect": p.expect, "within_s": p.within_s} for p in scenario.ready],
        "seed": list(scenario.seed),
        "secrets": list(scenario.secrets),
        "tiers": dict(scenario.tiers),
        "load": {
            "locustfile": str(load.locustfile),
            "user_classes": list(load.user_classes),
            "users": load.users,
            "rate": None if load.rate is None else _rate(load.rate),
            "processes": load.processes,
            "pinning": load.pinning,
            "warmup_s": load.warmup_s,
            "stable": load.stable,
            "duration_s": load.duration_s,
            "drain_s": load.drain_s,
            "parameters": dict(load.parameters),
        },
        "variants": {name: _variant(v, scenario.compose_file.parent) for name, v in scenario.variants.items()},
        "allow_hosts": list(scenario.allow_hosts),
        "gate": list(scenario.gate),
        "budgets": list(scenario.budgets),
        "stop_when": list(scenario.stop_when),
        "compare": _comparing(scenario.comparing),
    }


def _comparing(comparing: Comparing) -> dict[str, Any]:
    return {
        "design": None if comparing.design is None else comparing.design.value,
        "blocks": comparing.blocks,
        "base": comparing.base,
        "variants": list(comparing.variants),
        "time_s": comparing.time_s,
        "slice_s": comparing.slice_s,
        "settle_s": comparing.settle_s,
        "slices": comparing.slices,
        "varies": list(comparing.varies),
    }


def _rate(rate: Rate) -> dict[str, Any]:
    """Return a schedule as people write it, and as numbers: null lasts for ever."""
    stretches = [
        [one.lasts_s if math.isfinite(one.lasts_s) else None, one.begin_per_s, one.end_per_s]
        for one in rate.stretches
    ]
    return {"text": rate.text(), "poisson": rate.poisson, "stretches": stretches}


def _variant(variant: Variant, folder: Path) -> dict[str, Any]:
    files = {str(old.relative_to(folder)): str(new.relative_to(folder)) for old, new in variant.files.items()}
    changed = {"compose": dict(variant.compose), "files": files}
    return {**changed, "load": {"parameters": dict(variant.parameters)}} if variant.parameters else changed
