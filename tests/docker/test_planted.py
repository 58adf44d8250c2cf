"""What is planted in real containers is found, and what is the same is not: the short form of tests/trials/."""

from __future__ import annotations

import sys
from pathlib import Path

import identical
import planted
import pytest
import redrawn
import stored_blocks
from planted import PLANTS
from stored_blocks import Series

from seatrial.judge import metric, pairing
from seatrial.judge.words import Word
from seatrial.scenario.compared import AGAIN

pytestmark = pytest.mark.docker

BLOCKS = 3
SHORT = ("--design", "slices", "--warmup", "1s", "--set", "compare.slices=3", "--set", "load.drain=1s")
VARIANTS = "plus20mem,flaky,nokeepalive"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record blocks of the base and three planted changes, all up at once."""
    results = tmp_path_factory.mktemp("planted") / "results"
    stored_blocks.record(("compare", "known-cpu", "--variants", VARIANTS, *SHORT), results, BLOCKS, seed=1)
    return results


def _effects(series: Series, text: str) -> tuple[float, ...]:
    paired = pairing.paired(series.blocks, series.base, series.variant, metric.parse(text))
    assert paired.effect is not None, paired.reason
    return paired.effect.differences


def test_a_fifth_more_memory_is_found_in_all_draws(results: Path) -> None:
    """20 MiB on 100; the pages of a process are counted, so that three blocks scatter by 0.1 %."""
    series = stored_blocks.load(results, "plus20mem")
    found = redrawn.redraw(series, len(series.blocks), 20, 1, relabel=False)

    assert _effects(series, "unreclaimable memory of app") == pytest.approx([0.18] * len(series.blocks), abs=0.03)
    assert found.rate("unreclaimable memory of app", Word.REGRESSION) == 1
    lines = "\n".join(planted.table(PLANTS["memory"], series, len(series.blocks), found))
    assert "unreclaimable memory of app found worse: 100.0%" in lines


def test_a_variant_that_fails_and_is_faster_is_not_called_better(results: Path) -> None:
    """Each hundredth request fails, and the others cost 17 % less: no word of praise, gated or not."""
    series = stored_blocks.load(results, "flaky", shown=True)
    found = redrawn.redraw(series, len(series.blocks), 20, 1, relabel=False)

    assert max(_effects(series, "cpu per request of app")) < 0
    assert min(_effects(series, "failures")) > 0
    assert found.praised == 0


def test_a_lost_keep_alive_costs_nginx_a_multiple(results: Path) -> None:
    """A connection for each request: 130 to 170 µs where 60 to 100 µs are usual."""
    series = stored_blocks.load(results, "nokeepalive")

    assert min(_effects(series, "cpu per request of nginx")) > 0.3


def test_what_is_the_same_is_not_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recorder of A/A trials, and its table; what is in the folder counts, and is not recorded twice."""
    command = ("selfcheck", "known-cpu", *SHORT)
    stored_blocks.record(command, tmp_path, 2, seed=1)
    stored_blocks.record(command, tmp_path, 2, seed=1)
    series = stored_blocks.load(tmp_path, AGAIN, "work")
    found = redrawn.redraw(series, 2, 20, 1, relabel=True)
    sys.stdout.writelines(identical.table(series, found, [0.0]))

    assert len(list(tmp_path.iterdir())) == 1
    assert found.rate("cpu per request", Word.REGRESSION, Word.IMPROVEMENT) == 0
    assert "2 blocks used, 0 invalid" in capsys.readouterr().out
    assert min(len(side) for one in series.latencies_ms for side in one.values()) > 50
