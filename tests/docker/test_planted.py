"""A planted change in real containers is found, and equal variants get no verdict: tests/trials/ in short."""

from __future__ import annotations

import sys
from pathlib import Path

import identical
import planted
import pytest
import redrawn
import yaml
from planted import PLANTS
from redrawn import Series

from seatrial.compare import pairing
from seatrial.compare.verdicts import Word
from seatrial.measure import metric

pytestmark = [pytest.mark.docker, pytest.mark.alone, pytest.mark.long]

BLOCKS = 3
SCENARIOS = Path(__file__).parents[2] / "scenarios"
SHORT = ("--design", "slices", "--warmup", "1s", "--set", "compare.slices=3", "--set", "load.drain=1s")
PLANTED = {"HOLD_MIB": "87", "WORK_ROUNDS": "3200", "FAIL_EVERY": "20"}
VARIANTS = {
    "same": {"compose": {"services": {"app": {"environment": {"UNUSED": "1"}}}}},
    "planted": {
        "compose": {"services": {"app": {"environment": PLANTED}}},
        "files": {"nginx/upstream.conf": "nginx/upstream-closed.conf"},
    },
}
"""The same stack once more, and one with a fifth more memory, less work, failures, and a lost keep-alive."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record blocks of the base, the same again, and all changes at once; the second call adds no block."""
    folder = tmp_path_factory.mktemp("planted")
    values = yaml.safe_load((SCENARIOS / "known-cpu.yaml").read_text(encoding="utf-8"))
    values |= {"stack": str(SCENARIOS / "stacks" / "known"), "variants": VARIANTS}
    scenario = folder / "planted.yaml"
    scenario.write_text(yaml.safe_dump(values), encoding="utf-8")
    for _ in range(2):
        redrawn.record(("compare", str(scenario), *SHORT), folder / "results", BLOCKS, seed=1)
    return folder / "results"


def _effects(series: Series, text: str) -> tuple[float, ...]:
    paired = pairing.paired(series.blocks, series.base, series.variant, metric.parse(text))
    assert paired.effect is not None, paired.reason
    return paired.effect.differences


def test_a_fifth_more_memory_is_found_in_all_draws(results: Path) -> None:
    """20 MiB on 100; the pages of a process are counted, so that three blocks scatter by 0.1 %."""
    series = redrawn.load(results, "planted")
    redraws = redrawn.redraw(series, len(series.blocks), 20, 1, relabel=False)

    assert _effects(series, "unreclaimable memory of app") == pytest.approx([0.18] * len(series.blocks), abs=0.03)
    assert redraws.rate("unreclaimable memory of app", Word.REGRESSION) == 1
    lines = "\n".join(planted.table(PLANTS["memory"], series, len(series.blocks), redraws))
    assert "unreclaimable memory of app found worse: 100.0%" in lines


def test_a_variant_that_fails_and_is_faster_is_not_called_better(results: Path) -> None:
    """Each twentieth request fails, and the others cost 17 % less: no word of praise, gated or not."""
    series = redrawn.load(results, "planted", shown=True)
    redraws = redrawn.redraw(series, len(series.blocks), 20, 1, relabel=False)

    assert max(_effects(series, "cpu per request of app")) < 0
    assert min(_effects(series, "failures")) > 0
    assert redraws.praised == 0


def test_a_lost_keep_alive_costs_nginx_a_multiple(results: Path) -> None:
    """A connection for each request: 130 to 170 µs where 60 to 100 µs are usual."""
    assert min(_effects(redrawn.load(results, "planted"), "cpu per request of nginx")) > 0.3


def test_equal_variants_get_no_verdict(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No REGRESSION and no IMPROVEMENT in any labelling of the same blocks; the table has the number of blocks."""
    series = redrawn.load(results, "same", "work")
    redraws = redrawn.redraw(series, len(series.blocks), 20, 1, relabel=True)
    sys.stdout.writelines(identical.table(series, redraws, [0.0]))

    assert len(series.blocks) >= BLOCKS
    for text in ("cpu per request", "unreclaimable memory of app"):
        assert redraws.rate(text, Word.REGRESSION, Word.IMPROVEMENT) == 0
    assert f"{len(series.blocks)} blocks used" in capsys.readouterr().out
    assert min(len(side) for one in series.latencies_ms for side in one.values()) > 50
