"""The error rates of the words on simulated series: the short form of tests/trials/simulated.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from seatrial.compare import comparison
from seatrial.compare.verdicts import BETTER, WORSE, Word

DRAWS = 200
KINDS = ("independent", "autocorrelated", "heavy_tailed", "drifting", "with_outliers", "with_missing")


def _load() -> ModuleType:
    path = Path(__file__).parents[1] / "trials" / "simulated.py"
    spec = importlib.util.spec_from_file_location("simulated_trial", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


simulated = _load()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_variants_are_seldom_told_apart(kind: str) -> None:
    """Nominal 5 %, of 200 draws at most 9 % (3 sigma); REGRESSION or IMPROVEMENT ask for more: at most 1 %."""
    found = simulated.rates(getattr(simulated, kind), 6, 1.0, DRAWS, 1)
    assert found.of(*WORSE, *BETTER) <= 0.09
    assert found.of(Word.REGRESSION, Word.IMPROVEMENT) <= 0.01


def test_twenty_per_cent_are_found_in_eight_blocks() -> None:
    """At a scatter of 4 % and a threshold of 10 %: 93 % in the long form."""
    assert simulated.rates(simulated.independent, 8, 1.2, DRAWS, 1).of(Word.REGRESSION) >= 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_an_effect_as_large_as_the_threshold_is_seldom_called_small(kind: str) -> None:
    """EQUIVALENT and WORSE BUT SMALL say that the threshold is not passed: nominal 5 %."""
    found = simulated.rates(getattr(simulated, kind), 8, 1.1, DRAWS, 2)
    assert found.of(Word.EQUIVALENT, Word.WORSE_BUT_SMALL) <= 0.10


@pytest.mark.parametrize(("floor", "least", "most"), [(False, 0.06, 0.2), (True, 0.0, 0.025)])
def test_coarse_counters_make_no_regression(least: float, most: float, *, floor: bool) -> None:
    """Three blocks of 30 clock ticks, truth and threshold 5 %: 11 % of alarms in the long form, and none."""
    found = simulated.counted(3, 1.05, DRAWS, 1, floor=floor)
    assert least <= found.of(Word.REGRESSION) <= most


def test_two_blocks_decide_nothing() -> None:
    """Whatever the truth."""
    assert simulated.rates(simulated.independent, 2, 1.5, DRAWS, 1).of(Word.INCONCLUSIVE) == 1


def test_three_planned_looks_raise_false_alarms_in_less_than_five_per_cent() -> None:
    """20,000 equal experiments: any look below its own level. 3.6 % at .010, .015 and .025; 16 % at each block."""
    random = np.random.default_rng(1)
    series = random.normal(0, 1, (20_000, 20))
    alarmed = np.zeros(len(series), dtype=bool)
    for look in comparison.planned(20):
        alarmed |= stats.ttest_1samp(series[:, : look.blocks], 0, axis=1).pvalue <= look.alpha
    assert 0.03 < alarmed.mean() < 0.045
