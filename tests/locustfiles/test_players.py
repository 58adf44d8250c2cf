"""The player models: what each asks for in which order, how far it reads ahead, and how it takes faults."""

from __future__ import annotations

import pytest
from media_sessions import MOOV_BYTES, SECOND_BYTES, Media, Reply, Server, played

import _players
from _player import Ask
from _viewer import Act, Step

MIB = 1 << 20
BLOCK = 32 * 1024
FIRST, LAST = Media(moov_first=True), Media(moov_first=False)
TAIL = LAST.size - MOOV_BYTES
LEAVE = Step(Act.LEAVE, 5.0)


def _asked(name: str, server: Server, *acts: Step) -> list[tuple[str, int, int | None]]:
    _, stop = played(server, _players.MODELS[name](), acts or (LEAVE,))
    assert stop.outcome == ""
    return server.ranges_asked


@pytest.mark.parametrize("name", ["chrome", "firefox", "ffmpeg", "android"])
def test_a_clip_with_its_index_first_is_one_request(name: str) -> None:
    """It is open-ended, from the first byte."""
    assert _asked(name, Server(FIRST)) == [("opening", 0, None)]


@pytest.mark.parametrize(
    ("name", "tail", "media"),
    [
        ("chrome", TAIL - TAIL % BLOCK, "block"),
        ("firefox", TAIL - TAIL % BLOCK, "block"),
        ("ffmpeg", TAIL, "sample"),
        ("android", TAIL, "sample"),
    ],
)
def test_an_index_at_the_end_costs_three_requests(name: str, tail: int, media: str) -> None:
    """The first one is left for the tail; then the media are asked for, by a cache from where it has none on."""
    server = Server(LAST)
    opening, second, third = _asked(name, server)
    assert (opening, second) == (("opening", 0, None), ("tail", tail, None))
    assert (third[0], third[2]) == ("range", None)
    left_at = server.left[0][1]
    assert 0 < left_at <= 4 * BLOCK
    assert third[1] == (left_at - left_at % BLOCK if media == "block" else LAST.mdat)


def test_safari_probes_and_asks_for_closed_ranges() -> None:
    """Two bytes first; every later request names the last byte, and begins on a 64 KiB boundary."""
    end = LAST.size - 1
    asked = _asked("safari", Server(LAST))
    assert asked[:3] == [("probe", 0, 1), ("opening", 0, end), ("tail", TAIL - TAIL % 65_536, end)]
    assert (asked[3][0], asked[3][2], len(asked)) == ("range", end, 4)
    assert _asked("safari", Server(FIRST)) == [("probe", 0, 1), ("opening", 0, FIRST.size - 1)]


def test_android_asks_without_a_range_from_the_start_only() -> None:
    """Position 0 without a length has no Range header; others have one."""
    server = Server(LAST)
    _asked("android", server)
    assert [ask.ranged for ask in server.asked] == [False, True, True]


@pytest.mark.parametrize(
    ("name", "high_s", "low_s", "slack_s"),
    [
        ("chrome", 10 + 5 * MIB / SECOND_BYTES, 10 + 3 * MIB / SECOND_BYTES, 0.3),
        ("firefox", 60.0, 30.0, 0.3),
        ("safari", 50.0, 30.0, 0.3),
        ("android", 50.0, 50.0, 2 * MIB / SECOND_BYTES + 0.3),
        ("ffmpeg", 0.5, 0.5, 0.3),
    ],
)
def test_how_far_a_player_reads_ahead(name: str, high_s: float, low_s: float, slack_s: float) -> None:
    """It fills up to the upper threshold, and again below the lower one, over one connection that it holds."""
    levels: list[float] = []

    class Watched(Server):
        def sleep(self, seconds: float) -> None:
            before = session.buffer.ahead_s
            super().sleep(seconds)
            levels.extend((before, before - seconds))

    server = Watched(FIRST)
    player = _players.MODELS[name]()
    from media_sessions import MediaReader  # noqa: PLC0415

    from _proof import Proof  # noqa: PLC0415
    from _session import Session  # noqa: PLC0415

    session = Session(
        player,
        lambda _: MediaReader(server.media),
        Proof(),
        [Step(Act.LEAVE, 100.0)],
        opened=server.opened,
        clock=lambda: server.now_s,
        sleep=server.sleep,
    )
    assert session.run().outcome == ""
    assert max(levels) == pytest.approx(high_s, abs=slack_s)
    assert min(levels[:-2]) == pytest.approx(low_s, abs=slack_s)
    assert len([ask for ask in server.asked if ask.label != "probe"]) == 1


@pytest.mark.parametrize("name", sorted(_players.MODELS))
def test_a_seek_out_of_the_buffer_is_one_request(name: str) -> None:
    """It begins at the sync sample's block, and the playing goes on there."""
    server = Server(FIRST)
    session, _ = played(server, _players.MODELS[name](), [Step(Act.SEEK, 3.0, 150.0), Step(Act.LEAVE, 2.0)])
    seeks = [ask for ask in server.asked if ask.label == "seek"]
    wanted = FIRST.offset_at(153.0)
    assert [ask.first for ask in seeks] == [wanted - wanted % session.player.block_bytes]
    assert [edge for stretch in session.buffer.played for edge in stretch] == pytest.approx(
        [0, 3, 153, 155], abs=0.3
    )
    assert len(session.buffer.seek_waits_s) == 1


@pytest.mark.parametrize(
    ("name", "requests"), [("chrome", 1), ("firefox", 1), ("safari", 2), ("android", 1), ("ffmpeg", 2)]
)
def test_a_seek_within_the_buffer(name: str, requests: int) -> None:
    """A few seconds forward are there already, but for ffmpeg, which has next to no buffer."""
    server = Server(FIRST)
    played(server, _players.MODELS[name](), [Step(Act.SEEK, 20.0, 6.0), Step(Act.LEAVE, 2.0)])
    assert len(server.asked) == requests


@pytest.mark.parametrize(
    ("name", "again"), [("chrome", False), ("firefox", False), ("android", True), ("ffmpeg", True)]
)
def test_a_seek_back(name: str, again: bool) -> None:  # noqa: FBT001  (a column of the table)
    """3 s back lie in the caches of browsers, and have to be sent again to the others."""
    server = Server(FIRST)
    session, _ = played(server, _players.MODELS[name](), [Step(Act.SEEK, 20.0, -3.0), Step(Act.LEAVE, 1.0)])
    assert ("seek" in [ask.label for ask in server.asked]) == again
    assert session.buffer.played[-1] == pytest.approx((17.0, 18.0), abs=0.1)


@pytest.mark.parametrize(
    ("name", "outcome", "requests"),
    [("chrome", "", 2), ("android", "", 3), ("firefox", "", 1), ("ffmpeg", "whole", 1)],
)
def test_a_server_without_ranges(name: str, outcome: str, requests: int) -> None:
    """What lies ahead is read through; for what lies behind Chrome and Android read all before it once more."""
    server = Server(FIRST, ranges=False)
    acts = [Step(Act.SEEK, 3.0, 100.0), Step(Act.SEEK, 3.0, -50.0), LEAVE]
    _, stop = played(server, _players.MODELS[name](), acts)
    assert (stop.outcome, len(server.asked)) == (outcome, requests)
    assert max(position for _, position in server.left) > FIRST.offset_at(103)
    if not outcome and requests > 1:
        assert server.left[-1][1] > FIRST.offset_at(56)


def test_safari_needs_a_206_with_a_total() -> None:
    """Else it plays nothing at all."""
    for server in (Server(FIRST, ranges=False), Server(FIRST, tells_total=False)):
        session, stop = played(server, _players.MODELS["safari"]())
        assert (stop.outcome, len(server.asked), session.buffer.started) == (
            "rejected" if server.ranges else "whole",
            1,
            False,
        )


@pytest.mark.parametrize(
    ("name", "gives_up"),
    [("chrome", False), ("firefox", False), ("safari", False), ("android", False), ("ffmpeg", True)],
)
def test_a_body_that_is_cut_short_is_asked_for_again(name: str, gives_up: bool) -> None:  # noqa: FBT001
    """From where it broke off, as long as bytes come; not by ffmpeg."""
    server = Server(FIRST, cut_after=MIB)
    _, stop = played(server, _players.MODELS[name](), [Step(Act.LEAVE, 10.0)])
    assert stop.outcome == ("truncated" if gives_up else "")
    media = [ask for ask in server.asked if ask.label != "probe"]
    if not gives_up:
        block = _players.MODELS[name].block_bytes
        assert media[1].first == MIB - MIB % block
        assert len(media) > 5


@pytest.mark.parametrize(
    ("name", "tries", "lasts_s"), [("chrome", 31, 30 * 0.25 + 0.05 * 435), ("android", 4, 3.0), ("ffmpeg", 1, 0.0)]
)
def test_how_often_a_player_tries(name: str, tries: int, lasts_s: float) -> None:
    """Resets without a byte: Chrome 30 times more, each 50 ms later, Android 3 times."""
    server = Server(FIRST, replies={number: Reply(0, outcome="reset", reason="reset") for number in range(100)})
    began_s = server.now_s
    _, stop = played(server, _players.MODELS[name]())
    assert (stop.outcome, len(server.asked)) == ("reset", tries)
    assert server.now_s - began_s == pytest.approx(lasts_s, abs=0.2)


@pytest.mark.parametrize("name", sorted(_players.MODELS))
@pytest.mark.parametrize("status", [404, 500, 416])
def test_a_clip_that_vanishes_ends_the_session(name: str, status: int) -> None:
    """The seek is refused: no further request."""
    number = 2 if name == "safari" else 1
    server = Server(FIRST, replies={number: Reply(status, outcome="status", reason=f"unexpected status {status}")})
    _, stop = played(server, _players.MODELS[name](), [Step(Act.SEEK, 3.0, 100.0), LEAVE])
    assert (stop.outcome, stop.reason) == ("status", f"unexpected status {status}")
    assert len(server.asked) == number + 1


def test_headers_that_tell_players_apart() -> None:
    """As these players send them: no coding, one id for Safari's session, ffmpeg's connections close."""
    fields = {name: dict(model("id-1").request_headers()) for name, model in _players.MODELS.items()}
    assert fields["chrome"]["Accept-Encoding"] == fields["safari"]["Accept-Encoding"] == "identity"
    assert fields["safari"]["X-Playback-Session-Id"] == "id-1"
    assert (fields["ffmpeg"]["Connection"], fields["ffmpeg"]["Icy-MetaData"]) == ("close", "1")
    assert "Accept-Encoding" not in fields["ffmpeg"]
    assert {"if-range", "if-match"} & {field.lower() for every in fields.values() for field in every} == set()


def test_a_player_is_found_by_its_file() -> None:
    """Each has a User-Agent; shares are read from a text."""
    assert set(_players.MODELS) == {"android", "chrome", "ffmpeg", "firefox", "safari"}
    assert all(model.user_agent for model in _players.MODELS.values())
    assert _players.chosen("mix") == _players.MIX
    assert sum(_players.MIX.values()) == 100
    assert _players.chosen("chrome:3, safari") == {"chrome": 3, "safari": 1}
    for words in ("", "vlc", "chrome:x", "chrome:0"):
        with pytest.raises(ValueError, match="player"):
            _players.chosen(words)


def test_a_long_clip_is_played_to_its_end_over_few_requests() -> None:
    """Every byte of it comes once, and the end of the clip is the end of the session."""
    media = Media(duration_s=30.0, moov_first=False)
    for name, model in _players.MODELS.items():
        server = Server(media)
        session, stop = played(server, model(), [Step(Act.LEAVE, 1000.0)])
        assert stop.outcome == "", name
        assert session.buffer.played_s == pytest.approx(30.0, abs=0.1)
        assert session.distinct.count == media.size
        assert session.received_bytes < media.size + 16 * BLOCK
        assert server.asked[0] in (Ask("opening", 0), Ask("opening", 0, ranged=False), Ask("probe", 0, 1))
