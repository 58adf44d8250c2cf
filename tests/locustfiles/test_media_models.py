"""The pure parts beside the players: the buffer, viewers, sets of offsets, and the proof of answers."""

from __future__ import annotations

import random
from itertools import islice
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _buffer import Buffer, State
from _proof import Proof
from _ranges import Ranges
from _viewer import Act, Drag, Habits, Step, patience_s, scrubbing, watching, zipf


def test_a_start_a_stall_a_seek_and_the_end() -> None:
    """Each wait is counted as what it is, at the moment it began, however late it is looked at."""
    buffer = Buffer(100.0, start_s=1.0, resume_s=2.0)
    buffer.duration_s = 60.0
    buffer.arrived(101.0, 0.5)
    assert not buffer.started
    buffer.arrived(103.0, 4.0)
    buffer.advance(110.0)
    assert (buffer.state, buffer.position_s) == (State.STALLED, 4.0)
    buffer.arrived(111.0, 5.0)
    assert buffer.dry_s == inf
    buffer.arrived(112.0, 20.0)
    buffer.seek(113.0, 50.0)
    buffer.arrived(115.0, 60.0)
    buffer.advance(140.0)
    assert buffer.state is State.ENDED
    assert (buffer.startup_s, buffer.played_s, buffer.stalled_s) == (3.0, 4.0 + 1.0 + 10.0, 5.0)
    assert (buffer.stalls, buffer.seek_waits_s, buffer.seek_s) == ([(4.0, 5.0)], [2.0], 2.0)
    assert buffer.stall_ratio == 5.0 / 20.0
    buffer.stop(140.0)
    assert buffer.played == [(0.0, 5.0), (50.0, 60.0)]
    assert buffer.distinct_played_s() == 15.0


def test_a_pause_is_no_stall_and_a_drag_is_one_wait() -> None:
    """Data that comes while it pauses is there when it goes on; several seeks in a row wait once."""
    buffer = Buffer(0.0, start_s=1.0, resume_s=1.0)
    buffer.arrived(0.0, 2.0)
    buffer.pause(1.0)
    buffer.advance(50.0)
    buffer.arrived(50.0, 30.0)
    buffer.resume(51.0)
    assert (buffer.state, buffer.spent_s[State.PAUSED], buffer.stalls) == (State.PLAYING, 50.0, [])
    for at_s in (52.0, 52.5, 53.0):
        buffer.seek(at_s, at_s * 10)
    buffer.arrived(54.0, 540.0)
    assert (buffer.seeks, buffer.seek_waits_s) == (3, [2.0])


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["arrived", "seek", "pause", "resume", "advance"]),
        st.floats(0.0, 30.0, allow_nan=False),
        st.floats(0.0, 120.0, allow_nan=False),
    ),
    max_size=40,
)


@given(ACTIONS, st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_no_moment_is_lost_or_counted_twice(
    actions: list[tuple[str, float, float]], start_s: float, resume_s: float
) -> None:
    """The states add up to the clock, stalls to the stalled time, played stretches to playing."""
    buffer = Buffer(0.0, start_s, resume_s)
    buffer.duration_s = 90.0
    now_s = 0.0
    for action, after_s, media_s in actions:
        now_s += after_s
        if action == "arrived":
            buffer.arrived(now_s, max(media_s, buffer.playable_s))
        elif action == "seek" and buffer.state is not State.ENDED:
            buffer.seek(now_s, media_s)
        elif action in {"pause", "resume", "advance"}:
            getattr(buffer, action)(now_s)
        assert 0.0 <= buffer.position_s <= 90.0 + 1e-6
    buffer.stop(now_s)
    waits_s = sum(buffer.spent_s[state] for state in State if state is not State.ENDED)
    assert waits_s + buffer.spent_s[State.ENDED] == pytest.approx(now_s, abs=1e-5)
    assert sum(length_s for _, length_s in buffer.stalls) == pytest.approx(buffer.stalled_s, abs=1e-5)
    assert sum(end_s - from_s for from_s, end_s in buffer.played) == pytest.approx(buffer.played_s, abs=1e-3)
    assert 0.0 <= buffer.stall_ratio <= 1.0
    assert buffer.distinct_played_s() <= buffer.played_s + 1e-3


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=30), st.integers(0, 80))
def test_sets_of_offsets(added: list[tuple[int, int]], offset: int) -> None:
    """They are what a set of integers would be."""
    ranges, truth = Ranges(), set[int]()
    for first, size in added:
        ranges.add(first, first + size)
        truth |= set(range(first, first + size))
    assert ranges.count == len(truth)
    assert [one for first, end in ranges for one in range(first, end)] == sorted(truth)
    missing = next(one for one in range(offset, 200) if one not in truth)
    assert ranges.first_missing(offset) == missing
    assert ranges.next_held(missing) == min((one for one in truth if one > missing), default=None)
    ranges.keep(offset, offset + 10)
    assert [one for first, end in ranges for one in range(first, end)] == sorted(
        truth & set(range(offset, offset + 10))
    )


def _choice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  (a choice of load)


def test_viewers_are_reproducible_and_as_they_are_described() -> None:
    """A fifth watches to the end, the others leave as told; seeks and their directions have their rates."""
    habits = Habits(watch_mean_s=100.0, seeks_per_min=6.0, pauses_per_min=2.0)

    def viewers(seed: int) -> list[list[Step]]:
        choice = _choice(seed)
        return [list(islice(watching(habits, choice), 100)) for _ in range(1000)]

    first = viewers(1)
    assert first == viewers(1)
    assert first != viewers(2)
    leaving = [acts for acts in first if len(acts) < 100]
    assert len(leaving) / len(first) == pytest.approx(0.8, abs=0.04)
    watched_s = [sum(step.after_s for step in acts) for acts in leaving]
    assert sum(watched_s) / len(watched_s) == pytest.approx(100.0, rel=0.15)
    acts = [step for acts in leaving for step in acts]
    seeks = [step.value for step in acts if step.act is Act.SEEK]
    assert len(seeks) / sum(watched_s) == pytest.approx(0.1, rel=0.1)
    assert sum(value > 0 for value in seeks) / len(seeks) == pytest.approx(0.7, abs=0.03)
    assert sorted(map(abs, seeks))[len(seeks) // 2] == pytest.approx(30.0, rel=0.1)
    assert {step.act for step in acts} == set(Act)


def test_no_viewer_stays_longer_than_the_limit() -> None:
    """Nor do those who would stay to the end; without seeks and pauses there is one act."""
    habits = Habits(seeks_per_min=0.0, pauses_per_min=0.0, watch_most_s=3.0)
    for seed in range(50):
        (leave,) = watching(habits, _choice(seed))
        assert leave.act is Act.LEAVE
        assert leave.after_s <= 3.0


def test_patience() -> None:
    """All bear 2 s; of those who do, 5.8 % of all leave in each further second; 0 is no end of it."""
    choice = _choice(1)
    borne_s = [patience_s(Habits(), choice) for _ in range(10_000)]
    assert min(borne_s) >= 2.0
    assert sum(one < 7.0 for one in borne_s) / len(borne_s) == pytest.approx(5 * 0.058, abs=0.02)
    assert patience_s(Habits(patience_s=0.0), choice) == inf


def test_a_drag_is_many_seeks() -> None:
    """By the clock, but for the first one, in one direction; then the viewer looks."""
    acts = list(scrubbing(Drag(drags=3, positions=4), 0.5, _choice(3)))
    assert [step.by_clock for step in acts] == [False, True, True, True] * 3 + [False]
    assert all(len({step.value > 0 for step in acts[i : i + 4]}) == 1 for i in (0, 4, 8))


def test_popularity_falls_with_the_rank() -> None:
    """With 0.9 the first of 100 has a sixth of all views; with 0 all have the same."""
    weights = zipf(100, 0.9)
    assert weights[0] / weights[-1] == pytest.approx(0.16, abs=0.01)
    assert zipf(4, 0.0) == (1.0, 2.0, 3.0, 4.0)


ETAG = {"etag": '"a"', "last-modified": "Sun"}


@pytest.mark.parametrize(
    ("later", "total", "outcome"),
    [
        (ETAG, 100, None),
        ({**ETAG, "etag": '"b"'}, 100, "changed"),
        ({**ETAG, "last-modified": "Mon"}, 100, "changed"),
        ({"last-modified": "Sun"}, 100, "changed"),
        ({"etag": '"a"'}, 100, None),
        (ETAG, 101, "changed"),
        ({**ETAG, "content-encoding": "gzip"}, 100, "rejected"),
    ],
)
def test_later_answers_keep_what_the_first_one_promised(
    later: dict[str, str], total: int, outcome: str | None
) -> None:
    """Validators and the total stay, but Last-Modified may be left out; no coding is taken."""
    proof = Proof()
    assert proof.head(ETAG, 206, 100, ranged=True) is None
    found = proof.head(later, 206, total, ranged=True)
    assert (found.outcome if found else None) == outcome


def test_the_catalogue_and_the_status_bind_the_first_answer_too() -> None:
    """Its size and ETag; a 200 to a range is `whole`, and none where no range was asked for."""
    for proof in (Proof(size=99), Proof(etag='"b"')):
        found = proof.head(ETAG, 206, 100, ranged=True)
        assert found is not None
        assert found.outcome == "changed"
    whole = Proof().head(ETAG, 200, 100, ranged=True)
    assert whole is not None
    assert whole.outcome == "whole"
    assert Proof().head(ETAG, 200, 100, ranged=False) is None


def test_the_end_of_a_body_of_unknown_length_is_that_of_the_clip() -> None:
    """Where the catalogue, or an earlier answer, has told how long that is."""
    assert Proof().end(99) is None
    assert Proof(size=100).end(100) is None
    found = Proof(size=100).end(99)
    assert found is not None
    assert (found.outcome, found.reason) == ("truncated", "the body ended at byte 99, the clip has 100")


def test_wrong_bytes_are_told_by_their_offset() -> None:
    """What knows the content is asked for each piece; without it nothing is proved."""

    class Content:
        def wrong(self, offset: int, view: memoryview) -> int | None:
            return offset + 1 if view[0] else None

    found = Proof(Content()).body(70, memoryview(b"x"))
    assert found is not None
    assert (found.outcome, found.reason) == ("digest", "wrong bytes from offset 71 on")
    assert Proof(Content()).body(70, memoryview(b"\0")) is None
    assert Proof().body(70, memoryview(b"x")) is None
