"""Captures anew how real players ask for an MP4, and writes the golden files that the models are judged by.

    PYTHONPATH=tests .venv/bin/python tests/captures/capture.py --clips /tmp/clips
        [--players ffmpeg,chromium,firefox]
        [--cases play,seek-back] [--media seatrial,ffmpeg] [--moov first,last] [--durations 60,300]
        [--rates unlimited,1] [--under media|no-store] [--side-by-side 3]
        [--out tests/locustfiles/data/players] [--missing]

Needs nginx, ffmpeg, chromium and firefox-esr of Debian. A session takes the time of its steps (cases.py); all of
them, three at once, take about five minutes a player.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import clips
import player_chromium
import player_ffmpeg
import player_firefox
import player_page
from cases import CASES, DURATIONS_S, MOOVS, RATES, SEEK, Step
from clips import ClipFile
from golden_session import MOST_STALLED_S, ClipFacts, Done, Session, requests, session_name
from logging_proxy import Exchange, logging_proxy
from static_origin import static_origin

GOLDEN = Path(__file__).parents[1] / "locustfiles" / "data" / "players"
_VALIDATORS = ("etag", "last-modified", "accept-ranges", "cache-control", "connection")
Drive = Callable[[str, ClipFacts, Sequence[Step]], tuple[str, list[Done], list[Done], float]]
PLAYERS: dict[str, tuple[Callable[[], str], Drive]] = {
    "ffmpeg": (player_ffmpeg.version, player_ffmpeg.session),
    "chromium": (player_chromium.version, player_chromium.session),
    "firefox": (player_firefox.version, player_firefox.session),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One session to capture."""

    player: str
    case: str
    clip: ClipFile
    path: str  # of the clip on the server
    rate: float | None
    variant: str

    def file(self, folder: Path) -> Path:
        """Return where it is kept in a folder."""
        name = session_name(self.case, self.clip.facts, self.rate, self.variant)
        return folder / self.player / f"{name}.json"


def captured(wanted: Wanted, origin: tuple[str, int]) -> Session:
    """Let a player play through a proxy, and return what was seen."""
    version, drive = PLAYERS[wanted.player]
    steps = CASES[wanted.case](wanted.clip.facts.duration_s)
    with logging_proxy(origin, wanted.rate, {player_page.PATH: player_page.PAGE}) as proxy:
        driver, actions, events, stop_s = drive(
            f"http://127.0.0.1:{proxy.port}{wanted.path}", wanted.clip.facts, steps
        )
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline and not all(one.ended for one in proxy.exchanges):
            time.sleep(0.02)
    if not proxy.exchanges:
        raise RuntimeError(f"{wanted.player} {wanted.case}: nothing was asked")
    session = _session(wanted, proxy.exchanges, version(), (driver, actions, events, stop_s))
    if session.stalled_s > MOST_STALLED_S:
        raise RuntimeError(f"{session.name} stalled for {session.stalled_s:.1f} s: the machine is too busy")
    return session


def _session(
    wanted: Wanted, exchanges: list[Exchange], version: str, told: tuple[str, list[Done], list[Done], float]
) -> Session:
    driver, actions, events, stop_s = told
    start_s = exchanges[0].at_s
    asked, header_sets = requests(exchanges, start_s, stop_s)
    first = exchanges[0]

    def relative(all_: Iterable[Done]) -> list[Done]:
        return [
            replace(
                one,
                at_s=round(one.at_s - start_s, 3),
                offset=wanted.clip.index.offset_at(one.media_s or 0.0) if one.what == SEEK else None,
            )
            for one in all_
        ]

    return Session(
        player=wanted.player,
        version=version,
        driver=driver,
        case=wanted.case,
        server=first.answered("server") or "",
        rate=wanted.rate,
        clip=wanted.clip.facts,
        validators={name: first.answered(name) for name in _VALIDATORS},
        header_sets=header_sets,
        actions=relative(actions),
        events=relative(events),
        requests=asked,
        variant=wanted.variant,
    )


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _rate_word(rate: float | None) -> str:
    return "unlimited" if rate is None else f"{rate / 1e6:g}"


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="capture how players ask for an MP4")
    parser.add_argument("--players", type=_words, default=[*PLAYERS])
    parser.add_argument("--media", type=_words, default=[clips.OWN])
    parser.add_argument("--cases", type=_words, default=[*CASES])
    parser.add_argument("--moov", type=_words, default=[*MOOVS])
    parser.add_argument("--durations", type=_words, default=[str(one) for one in DURATIONS_S])
    parser.add_argument("--rates", type=_words, default=[_rate_word(rate) for rate in RATES])
    parser.add_argument(
        "--under", choices=("media", "no-store"), default="media", help="where the origin serves it"
    )
    parser.add_argument("--origin", help="HOST:PORT of a server that has the clips; else nginx is started")
    parser.add_argument("--variant", default="", help="added to the files' names")
    parser.add_argument("--side-by-side", type=int, default=3)
    parser.add_argument("--clips", type=Path, required=True, help="folder of the clips; made if they aren't there")
    parser.add_argument("--out", type=Path, default=GOLDEN)
    parser.add_argument("--missing", action="store_true", help="only the sessions that --out lacks")
    return parser.parse_args(argv)


def _wanted(options: argparse.Namespace) -> list[Wanted]:
    rates = [None if word == "unlimited" else float(word) * 1e6 for word in options.rates]
    found = []
    for kind, duration, moov in product(options.media, options.durations, options.moov):
        clip = clips.made(options.clips, kind, int(duration), moov)
        words = (kind if kind != clips.OWN else "", options.variant)
        for rate, case, player in product(rates, options.cases, options.players):
            found.append(
                Wanted(
                    player=player,
                    case=case,
                    clip=clip,
                    path=f"/{options.under}/{clip.path.name}",
                    rate=rate,
                    variant="-".join(filter(None, words)),
                )
            )
    return found


@contextmanager
def _origin(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Yield the server of the clips."""
    if options.origin:
        host, _, port = options.origin.rpartition(":")
        yield host, int(port)
        return
    with tempfile.TemporaryDirectory() as folder, static_origin(Path(folder), options.clips.absolute()) as origin:
        yield origin


def main(argv: Sequence[str]) -> int:
    """Capture what the arguments name; return the number of sessions that failed."""
    options = _options(argv)
    options.clips.mkdir(parents=True, exist_ok=True)
    wanted, failed = _wanted(options), 0
    if options.missing:
        wanted = [one for one in wanted if not one.file(options.out).exists()]
    with _origin(options) as origin, ThreadPoolExecutor(options.side_by_side) as pool:
        going = [(one, pool.submit(captured, one, origin)) for one in wanted]
        for one, future in going:
            try:
                path = future.result().write(options.out)
            except (OSError, RuntimeError, ValueError, AssertionError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"{one.player} {one.case}: {error}", file=sys.stderr)  # noqa: T201  (a command)
            else:
                print(path, path.stat().st_size)  # noqa: T201  (a command)
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
