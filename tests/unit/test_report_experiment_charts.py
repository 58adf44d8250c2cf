"""The forest plot: one wide interval does not squeeze the others to points."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import comparisons
import pytest

from seatrial.compare.verdicts import Verdict, Word
from seatrial.report import experiment_charts

P95 = 'p95 of "blob"'
NEAR = [comparisons.verdict(name, "cpu per request", Word.EQUIVALENT, 0.01) for name in ("a", "b", "c")]
WIDE = replace(comparisons.verdict("wild", P95, Word.REGRESSION, 80.0), low=6.0, high=900.0)
LOST = replace(comparisons.verdict("odd", P95, Word.INCONCLUSIVE, 0.1), low=-0.9, high=3.0)


def drawn(verdicts: list[Verdict], name: str) -> list[dict[str, list[Any]]]:
    """Return what the renderers of that name are drawn from; those without a name for an empty one."""
    chart: Any = experiment_charts.forest(verdicts, "base").figure
    return [dict(one.data_source.data) for one in chart.renderers if (one.name or "") == name]


def test_intervals_alike_are_all_within() -> None:
    """Nothing is cut where nothing has to be."""
    assert experiment_charts.axis_ends(NEAR) == pytest.approx((-0.05, 0.05))
    assert drawn(NEAR, "cut-right") == drawn(NEAR, "cut-left") == []


def test_one_wide_interval_does_not_squeeze_the_others() -> None:
    """The others keep an eighth of their side, and what is beyond ends in an arrow at the edge."""
    begin, end = experiment_charts.axis_ends([*NEAR, WIDE])

    assert (begin, end) == pytest.approx((-0.05, 0.4))
    assert drawn([*NEAR, WIDE], "cut-right")[0]["x"] == [end]


def test_what_is_cut_keeps_its_numbers() -> None:
    """On paper nothing can be pointed at: they stand in the label, and in what the pointer is told."""
    arrow = drawn([*NEAR, WIDE], "cut-right")[0]
    label = drawn([*NEAR, WIDE], "")[0]["label"][-1]

    assert arrow["said"] == ["REGRESSION: > +1,000 % (+600 to > +1,000 %)"]
    assert label.replace("\n", " ") == 'wild: p95 of "blob": > +1,000 % (+600 to > +1,000 %)'


def test_nothing_is_drawn_beyond_the_axis() -> None:
    """Neither a point nor the end of a line."""
    begin, end = experiment_charts.axis_ends([*NEAR, WIDE, LOST])
    data = drawn([*NEAR, WIDE, LOST], "")[0]

    assert all(begin <= one <= end for name in ("low", "high") for one in data[name])
    assert math.isnan(data["effect"][3])
    assert data["effect"][4] == 0.1


def test_both_ends_can_be_cut() -> None:
    """Of an interval that tells nothing."""
    lost = [*NEAR, LOST]

    assert [len(drawn(lost, name)) for name in ("cut-left", "cut-right")] == [1, 1]


def test_a_threshold_is_never_beyond_the_axis() -> None:
    """Grey shows what would not matter, also where all intervals are narrow."""
    broad = replace(NEAR[0], metric=replace(NEAR[0].metric, threshold=2.0))

    assert experiment_charts.axis_ends([*NEAR, broad]) == pytest.approx((-2.0, 2.0))


def test_a_label_fits_into_a_telephone() -> None:
    """366 pixels have room for 52 characters of 12 px."""
    name, metric = "gunicorn-gevent-4-workers-keepalive", f'p95 of "{"/manifests" * 5}"'
    long = comparisons.verdict(name, metric, Word.EQUIVALENT, 0.01)

    assert max(map(len, drawn([long], "")[0]["label"][0].splitlines())) <= 52


def test_shares_are_no_measure_for_ratios() -> None:
    """Failures differ by tenths of points; measured by these every ratio would be cut."""
    failures = comparisons.verdict("a", "failures", Word.EQUIVALENT, 0.0, margin=0.001)
    shares = [replace(failures, metric=replace(failures.metric, threshold=0.001))] * 3

    assert experiment_charts.axis_ends([*shares, NEAR[0]]) == pytest.approx((-0.05, 0.05))
