"""The scripts of tests/trials in short: comparisons redrawn from blocks whose truth is known, and overhead."""

from __future__ import annotations

from pathlib import Path

import experiments
import identical
import numpy as np
import overhead
import planted
import pytest
import redrawn
from planted import PLANTS
from redrawn import Series

from seatrial.compare.pairing import RunValues
from seatrial.compare.verdicts import WORSE, Word
from seatrial.measure import metric
from seatrial.record import documents
from seatrial.record.documents import ExperimentProgress

CPU, MEMORY, P95 = "cpu per request", "unreclaimable memory of app", 'p95 of "work"'
DRAWS = 200


def _series(
    blocks: int = 40, *, cpu: float = 1.0, memory: float = 1.0, fails: float = 0.0, fast: float = 1.0
) -> Series:
    """Return blocks with 1 % scatter of CPU, 0.1 % of memory and 10 % of latency, and what is planted."""
    random = np.random.default_rng(1)

    def run(cpu: float, memory: float, fails: float, fast: float) -> RunValues:
        drawn = random.normal(0, 1, 3)
        values = {
            CPU: 4e6 * cpu * np.exp(0.01 * drawn[0]),
            MEMORY: 1e8 * memory * np.exp(0.001 * drawn[1]),
            P95: 5e6 * fast * np.exp(0.1 * drawn[2]),
            "failures": fails,
        }
        return RunValues(values=values, requests=2000, counts={"failures": 2000})

    found = [{"base": run(1, 1, 0, 1), "variant": run(cpu, memory, fails, fast)} for _ in range(blocks)]
    latencies = tuple(
        {name: random.lognormal(0, 0.5, 500) * np.exp(random.normal(0, 0.1)) for name in ("base", "variant")}
        for _ in range(blocks)
    )
    return Series(
        base="base",
        variant="variant",
        gate=tuple(metric.parse(one) for one in (f"{CPU} within 2%", MEMORY)),
        shown=(metric.parse(P95),),
        shared_cores=True,
        blocks=tuple(found),
        latencies_ms=latencies,
        lost=(),
        block_s=30.0,
        bring_up_s=5.0,
    )


def test_comparisons_of_what_is_the_same_seldom_raise_an_alarm_but_gates_on_single_runs_do() -> None:
    """The goal is 6 %; of 200 draws 10.5 % is three standard errors above it. Single runs scatter by 10 %."""
    series = _series(60)
    found = redrawn.redraw(series, 6, DRAWS, 1, relabel=True)
    assert found.alarms / found.draws <= 0.105
    assert found.rate(CPU, Word.REGRESSION) <= 0.01
    lines = "\n".join(identical.table(series, found, [0.02, 0.04]))
    assert "60 blocks used, 0 invalid" in lines
    assert "a gate of 10 %: p50" in lines
    pairs = [(one["base"], one["variant"]) for one in series.latencies_ms]
    assert redrawn.gates(pairs)["p50"] > 0.3
    assert min(redrawn.tests_of_requests(pairs).values()) > 0.3


def test_five_per_cent_of_cpu_are_found_in_a_budget_of_ten_minutes() -> None:
    """19 blocks of 30 s: at a scatter of 1 % none is missed."""
    series = _series(cpu=1.05)
    assert planted.fitting(series) == 19
    found = redrawn.redraw(series, 19, DRAWS, 1, relabel=False)
    assert found.rate(CPU, *WORSE) >= 0.99
    assert found.rate(MEMORY, *WORSE) <= 0.05
    assert "cpu per request found worse: 100.0%" in "\n".join(planted.table(PLANTS["cpu"], series, 19, found))


def test_who_fails_more_is_not_called_better_for_being_fast() -> None:
    """1 % failures, 17 % less CPU, half the latency: no word of praise, gated or not."""
    found = redrawn.redraw(_series(12, fails=0.01, cpu=0.83, fast=0.5), 6, DRAWS, 1, relabel=False)
    assert found.praised == 0
    assert found.rate("failures", *WORSE) == 1
    honest = redrawn.redraw(_series(12, cpu=0.83, fast=0.5), 6, DRAWS, 1, relabel=False)
    assert honest.praised == DRAWS


def test_more_blocks_than_there_are_can_not_be_drawn() -> None:
    """Drawing with replacement would hide scatter."""
    with pytest.raises(SystemExit, match="3 blocks are recorded: 6 are drawn"):
        redrawn.redraw(_series(3), 6, 1, 1, relabel=False)


def test_bounds_are_clopper_and_pearsons() -> None:
    """Of 1,000 draws; known values: 3/1000 for none, and 95 % of 50 %."""
    assert redrawn.bounds(0, 1000) == pytest.approx((0, 0.003682), abs=1e-5)
    assert redrawn.bounds(500, 1000) == pytest.approx((0.4685, 0.5315), abs=1e-4)


def test_the_overhead_is_what_blocks_took_beside_the_load_of_their_runs(tmp_path: Path) -> None:
    """The made-up runs have load for 6 s each, two in a block; a block without its runs is an error."""
    folder = experiments.experiment(tmp_path, blocks=2)
    documents.save_progress(folder, ExperimentProgress(blocks=2, stopped="decided", blocks_s=(21.0, 18.0)))
    lines = list(overhead.table(folder, 40.0))
    assert lines[1].split() == ["1", "2", "21.0", "12.0", "4.5"]
    assert "median 3.8 s, at most 4.5 s" in lines[3]
    assert "40 s for 24 s of load: +67%" in lines[4]
    documents.save_progress(folder, ExperimentProgress(blocks=3, blocks_s=(21.0, 18.0, 20.0)))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        list(overhead.table(folder, 40.0))
