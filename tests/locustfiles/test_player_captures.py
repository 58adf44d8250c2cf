"""The player models against what real players asked: captured sessions, replayed by the models.

The golden files are written by tests/captures/capture.py. A model's requests have to be the real player's in their
order, roles, kinds of range, connections (new or used again) and ends (session_compare.py tells what a role is).
The bytes it takes in each that lasts longer than a second may differ by a quarter, or 2.5 MiB where that is more:
Chromium takes 2 MiB at once, or not yet. With a limited rate they are what the machine reached, and not compared.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import golden_session
import players_picture
import pytest
import replay
import session_compare
from cases import CASES, MOOVS, STOP
from golden_session import Session
from session_compare import Tolerance

FOLDER = Path(__file__).parent / "data" / "players"
FILES = sorted(FOLDER.glob("*/*.json"))
TOLERANCE = Tolerance()
ANY_BYTES = Tolerance(bytes_=1 << 40)
_REVALIDATES = "with `no-cache` the HTTP cache asks whether what it holds is valid; the model believes that it is"
_VALIDATED = (
    "pause-60s-moov-first",
    "seek-back-60s-moov-first",
    "play-60s-moov-last",
    "seek-ahead-60s-moov-last",
    "seek-within-60s-moov-last",
    "seek-back-60s-moov-last",
    "pause-60s-moov-last",
)
"""What goes on, or back, to a place that the HTTP cache holds; behind a moov at the end, each session does."""
KNOWN = {
    "firefox/seek-back-300s-moov-last-unlimited": "it closed a connection that was unread for 6.6 s",
    "chromium/seek-within-60s-moov-first-1MB": "0.3 MB short of the target; at the mean rate it was there",
    **{f"chromium/{name}-unlimited-stack": _REVALIDATES for name in _VALIDATED},
}
"""Sessions whose models differ, and why; the explanation page tells the same."""
LACKING = [
    ("firefox", "seek-back", "last", 300, 1e6, ""),
    *(
        ("firefox", case, "first", 60, None, "stack")
        for case in ("seek-ahead", "seek-within", "seek-back", "pause")
    ),
    ("firefox", "play", "last", 60, None, "stack"),
]
"""Sessions that are not there: the machine was too busy for Firefox each time (MOST_STALLED_S)."""


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _is_replayed(session: Session) -> bool:
    return session.case != "metadata" and session.clip.spec is not None


REPLAYED = [path for path in FILES if _is_replayed(golden_session.read(path))]


@pytest.mark.parametrize("path", REPLAYED, ids=_name)
def test_a_model_asks_as_its_player_did(path: Path) -> None:
    """Order, roles, ranges, connections, ends and bytes."""
    golden = golden_session.read(path)
    tolerance = TOLERANCE if golden.rate is None else ANY_BYTES
    found = session_compare.differences(golden, replay.replayed(golden), tolerance)
    if _name(path) in KNOWN:
        assert found, f"no longer different: {KNOWN[_name(path)]}"
    else:
        assert found == []


@pytest.mark.parametrize("player", ["chromium", "ffmpeg", "firefox"])
@pytest.mark.parametrize(
    ("duration_s", "rate", "variant"),
    [(60, None, ""), (60, 1e6, ""), (300, None, ""), (300, 1e6, ""), (60, None, "stack")],
)
def test_each_case_was_captured(player: str, duration_s: int, rate: float | None, variant: str) -> None:
    """Once, with the moov first and last, but for what LACKING names."""
    sessions = [golden_session.read(path) for path in sorted((FOLDER / player).glob("*.json"))]
    such = [one for one in sessions if (one.clip.duration_s, one.rate, one.variant) == (duration_s, rate, variant)]
    lacking = [
        (case, moov) for name, case, moov, *kind in LACKING if (name, *kind) == (player, duration_s, rate, variant)
    ]
    assert Counter([*((one.case, one.clip.moov) for one in such), *lacking]) == Counter(product(CASES, MOOVS))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_golden_file_is_small_and_sound(path: Path, tmp_path: Path) -> None:
    """No more than 10 KiB; written anew it is the same; nothing was taken that had not arrived."""
    golden = golden_session.read(path)
    assert path.stat().st_size < 10 * 1024
    assert golden.write(tmp_path).relative_to(tmp_path) == path.relative_to(FOLDER)
    assert (tmp_path / path.relative_to(FOLDER)).read_bytes() == path.read_bytes()
    assert all(one.taken <= one.arrived <= one.length for one in golden.requests)
    assert golden.stalled_s <= golden_session.MOST_STALLED_S


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name != "ffmpeg"], ids=_name)
def test_a_browser_was_told_what_its_case_says(path: Path) -> None:
    """The steps of cases.py, and no more than 2 s later than they say; else the file has to be captured anew."""
    golden = golden_session.read(path)
    told, steps = golden.actions, CASES[golden.case](golden.clip.duration_s)
    assert [(one.what, one.media_s) for one in told] == [*((one.what, one.media_s) for one in steps), (STOP, None)]
    waits_s = [later.at_s - one.at_s for one, later in pairwise(told)]
    assert waits_s == pytest.approx([one.wait_s for one in steps], abs=2.0)


def _changed(session: Session, number: int, **values: Any) -> Session:  # noqa: ANN401  (of several fields)
    requests = [replace(one, **values) if at == number else one for at, one in enumerate(session.requests)]
    return replace(session, requests=requests)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"reused": True}, "reused=True"),
        ({"range": "bytes=0-1"}, "open_ended=False"),
        ({"content_range": "bytes 9000000-30005381/30005382"}, "elsewhere"),
        ({"taken": 1_000_000}, "took 1000000 bytes"),
        ({"ended": "by the server"}, "by the server"),
    ],
)
def test_each_kind_of_difference_is_told(values: dict[str, Any], word: str) -> None:
    """Else the comparison above would find nothing in any model."""
    golden = golden_session.read(FOLDER / "ffmpeg" / "play-60s-moov-last-unlimited.json")
    assert session_compare.differences(golden, golden, TOLERANCE) == []
    found = session_compare.differences(golden, _changed(golden, 2, **values), TOLERANCE)
    assert word in " ".join(found)


def test_the_picture_shows_the_golden_files() -> None:
    """It is drawn from them."""
    assert players_picture.PICTURE.read_text(encoding="utf-8") == players_picture.drawn(), "make picture"
