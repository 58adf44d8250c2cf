"""How runs ended: counts, Fisher's exact test, words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from seatrial.compare.pairing import FINISHED, endings
from seatrial.compare.verdicts import Word

KILLED = "killed for memory"


def ways(finished: int, killed: int) -> list[str]:
    """Return how runs ended."""
    return [FINISHED] * finished + [KILLED] * killed


@pytest.mark.parametrize(
    ("variant", "base", "word"),
    [
        (ways(6, 0), ways(6, 0), None),
        (ways(0, 6), ways(0, 6), None),
        (ways(0, 6), ways(6, 0), Word.REGRESSION),
        (ways(6, 0), ways(0, 6), Word.IMPROVEMENT),
        (ways(0, 3), ways(3, 0), Word.LIKELY_REGRESSION),
        (ways(3, 0), ways(0, 3), Word.LIKELY_IMPROVEMENT),
        (ways(0, 4), ways(4, 0), Word.REGRESSION),
        (ways(5, 1), ways(6, 0), Word.INCONCLUSIVE),
        (ways(3, 3), ways(6, 0), Word.INCONCLUSIVE),
        (ways(1, 5), ways(6, 0), Word.REGRESSION),
    ],
)
def test_words(variant: list[str], base: list[str], word: Word | None) -> None:
    """Four of four against none are enough (2 in 70), three of three are not, but likely."""
    (found,) = endings({"base": base, "small": variant}, "base")
    assert found.word is word


def test_p_is_fishers() -> None:
    """The lady who tasted tea: three of four cups right are 34 of 70."""
    (found,) = endings({"base": ways(3, 1), "tea": ways(1, 3)}, "base")
    assert found.p_value == pytest.approx(34 / 70)


@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_p_is_that_of_scipy(counts: tuple[int, int, int, int]) -> None:
    """Whatever the counts."""
    (found,) = endings({"base": ways(*counts[:2]), "v": ways(*counts[2:])}, "base")
    theirs = stats.fisher_exact([counts[2:], counts[:2]]).pvalue
    assert found.p_value == pytest.approx(theirs)


def test_several_variants_share_the_level() -> None:
    """Alone p = 2/70 is below 5 %, as one of three variants it is above 5 % / 3."""
    runs = {"base": ways(4, 0), "a": ways(0, 4), "b": ways(4, 0), "c": ways(4, 0)}
    assert [one.word for one in endings(runs, "base")] == [Word.LIKELY_REGRESSION, None, None]


def test_the_counts_in_words() -> None:
    """Most frequent first."""
    runs = {"base": ways(6, 0), "small": [*ways(1, 4), "ran out of space"]}
    (found,) = endings(runs, "base")
    assert found.text == (
        "REGRESSION: killed for memory in 4 of 6, finished in 1 of 6, ran out of space in 1 of 6; "
        "the base finished in 6 of 6 (p = 0.015, Fisher's exact test)"
    )


def test_a_variant_that_was_never_run_tells_nothing() -> None:
    """No run is no difference."""
    (found,) = endings({"base": ways(2, 0), "late": []}, "base")
    assert (found.word, found.text) == (None, "was never run; the base finished in 2 of 2")
