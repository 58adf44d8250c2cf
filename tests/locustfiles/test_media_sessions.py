"""Sessions as a whole: slow servers, patience, pauses, drags, clips that can't be played."""

from __future__ import annotations

import pytest
from media_sessions import SECOND_BYTES, Media, MediaReader, Server, played

import _players
from _proof import Proof
from _session import Session, Unplayable
from _viewer import Act, Step

CHROME, ANDROID = _players.MODELS["chrome"], _players.MODELS["android"]


@pytest.mark.parametrize("name", sorted(_players.MODELS))
def test_a_server_slower_than_the_clip_stalls(name: str) -> None:
    """At 0.8 of the bit rate a fifth of the watching is waiting, whatever the player; the time adds up."""
    server = Server(bytes_per_s=0.8 * SECOND_BYTES)
    began_s = server.now_s
    session, stop = played(server, _players.MODELS[name](), [Step(Act.LEAVE, 60.0)])
    buffer = session.buffer
    assert stop.outcome == ""
    assert buffer.stalls
    assert 60.0 / (buffer.startup_s + buffer.stalled_s + 60.0) == pytest.approx(0.8, abs=0.05)
    assert sum(buffer.spent_s.values()) == pytest.approx(server.now_s - began_s, abs=0.1)
    detail = session.details()
    assert detail["stalls_count"] == len(detail["stalls"])
    assert detail["stall_ratio"] == pytest.approx(buffer.stalled_s / (buffer.stalled_s + 60.0), abs=0.01)


def test_a_server_that_stops_for_a_while_stalls_only_a_short_buffer() -> None:
    """5 s without a byte empty ffmpeg's half second, not Chrome's ten."""
    stalls = {}
    for name in ("chrome", "ffmpeg"):
        server = Server()
        session = _session(server, name, [Step(Act.LEAVE, 20.0)])
        sleep = server.sleep
        waited = [False]

        def stop(seconds: float, server: Server = server, waited: list[bool] = waited) -> None:
            if server.now_s > 1005.0 and not waited[0]:
                waited[0], server.wait_s = True, 5.0
            Server.sleep(server, seconds)

        session._sleep = stop
        session.run()
        assert sleep is not stop
        stalls[name] = session.buffer.stalled_s
    assert stalls["chrome"] == 0.0
    assert stalls["ffmpeg"] == pytest.approx(4.6, abs=0.3)


def test_who_has_no_patience_leaves_before_it_plays() -> None:
    """Abandoned at that moment, with nothing played and no start-up time."""
    server = Server(bytes_per_s=20_000)
    session, stop = played(server, ANDROID(), patience_s=3.0)
    detail = session.details()
    assert (stop.outcome, session.abandoned, detail["abandoned_ratio"]) == ("", True, 1.0)
    assert server.now_s == pytest.approx(1003.0, abs=0.1)
    assert "startup_s" not in detail
    assert detail["played_bytes"] == 0


def test_a_long_pause_costs_chrome_its_connection() -> None:
    """After 15 s it is dropped; with the pause's end it plays on from what it has, and asks for more later."""
    server = Server()
    session, _ = played(server, CHROME(), [Step(Act.PAUSE, 5.0, 60.0), Step(Act.LEAVE, 30.0)])
    assert [ask.label for ask in server.asked] == ["opening", "range"]
    assert server.times_s[1] > 1000.0 + 65.0
    assert session.buffer.spent_s[session.buffer.state.PAUSED] == pytest.approx(60.0, abs=0.1)
    assert session.buffer.stalls == []
    assert session.details()["paused_s"] == pytest.approx(60.0, abs=0.1)


def test_a_drag_leaves_a_request_for_each_position() -> None:
    """Ffmpeg asks for each; overtaken ones are left after what came until then."""
    server = Server(bytes_per_s=1e6)
    drag = [Step(Act.SEEK, 1.0, 50.0), *(Step(Act.SEEK, 0.1, 10.0, by_clock=True) for _ in range(4))]
    session, _ = played(server, _players.MODELS["ffmpeg"](), [*drag, Step(Act.LEAVE, 1.0)])
    assert [ask.label for ask in server.asked] == ["opening", *["seek"] * 5]
    assert session.buffer.seeks == 5
    assert 1 <= len(session.buffer.seek_waits_s) <= 5


def test_bytes_that_came_twice_are_distinct_once() -> None:
    """A seek back of Android, which keeps nothing behind, is received again."""
    server = Server()
    session, _ = played(server, ANDROID(), [Step(Act.SEEK, 10.0, -8.0), Step(Act.LEAVE, 1.0)])
    detail = session.details()
    assert detail["received_bytes"] > detail["distinct_bytes"] > detail["played_bytes"]
    assert detail["played_bytes"] == pytest.approx(10 * SECOND_BYTES, rel=0.05)
    assert detail["waste_ratio"] == pytest.approx(1 - detail["played_bytes"] / detail["received_bytes"])


class _Broken(MediaReader):
    def feed(self, offset: int, view: bytes | memoryview) -> None:
        del offset, view
        raise Unplayable("no moov")


def test_what_is_no_media_ends_the_session_at_once() -> None:
    """`rejected`, with the reader's words, after one read."""
    server = Server()
    session = _session(server, "firefox", [], reader=_Broken)
    stop = session.run()
    assert (stop.outcome, stop.reason) == ("rejected", "no moov")
    assert session.first_finding is not None
    assert session.first_finding.outcome == "rejected"
    assert session.received_bytes <= 128 * 1024


def test_the_end_of_a_body_is_the_length_where_none_was_told() -> None:
    """A total of `*`: what came to its end is the whole clip."""
    server = Server(Media(duration_s=20.0), tells_total=False)
    session, stop = played(server, CHROME(), [Step(Act.LEAVE, 1000.0)])
    assert stop.outcome == ""
    assert session.buffer.played_s == pytest.approx(20.0, abs=0.1)
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", ["chrome", "firefox", "safari"])
def test_a_body_that_brings_nothing_new_counts_as_a_failure(name: str) -> None:
    """Each begins with the block, and breaks off after 40 bytes: the tries come to an end."""
    server = Server(cut_after=40)
    session, stop = played(server, _players.MODELS[name](), patience_s=1000.0)
    assert (stop.outcome, session.abandoned) == ("truncated", False)
    assert len(server.asked) <= 40


class _Fragmented(MediaReader):
    """Needs all up to the end of the file, which it is told."""

    def __init__(self, media: Media) -> None:
        super().__init__(media)
        self._needs = [(0, 2 * media.size)]

    def ended(self) -> None:
        self._needs = []


@pytest.mark.parametrize("name", ["chrome", "firefox", "android"])
def test_an_index_that_is_complete_with_the_end_of_the_file(name: str) -> None:
    """Fragments are found one after the other; where no total is told, the body's end is the last one's."""
    server = Server(Media(duration_s=10.0), tells_total=False)
    session = _session(server, name, [Step(Act.LEAVE, 1000.0)], reader=_Fragmented)
    assert session.run().outcome == ""
    assert session.buffer.played_s == pytest.approx(10.0, abs=0.1)
    assert len(server.asked) <= 2


@pytest.mark.parametrize("name", sorted(set(_players.MODELS) - {"safari"}))
def test_a_seek_to_the_end_of_a_clip_of_unknown_length(name: str) -> None:
    """The clip has ended before the end of the body tells how long it is: nothing is wrong with that."""
    server = Server(Media(duration_s=7.5, bytes_per_s=20_000), bytes_per_s=5e6, tells_total=False)
    _, stop = played(server, _players.MODELS[name](), [Step(Act.SEEK, 5.5, 100.0), Step(Act.LEAVE, 1000.0)])
    assert (stop.outcome, stop.reason) == ("", "")


@pytest.mark.parametrize("name", sorted(_players.MODELS))
def test_a_seek_to_the_end_waits_for_the_last_picture(name: str) -> None:
    """What follows the last sync sample, half a second, has to come: that is the wait of the seek."""
    server = Server(Media(duration_s=199.5), bytes_per_s=SECOND_BYTES)
    session, stop = played(server, _players.MODELS[name](), [Step(Act.SEEK, 3.0, 500.0), Step(Act.LEAVE, 1000.0)])
    assert (stop.outcome, server.asked[-1].label) == ("", "seek")
    assert session.buffer.seek_s == pytest.approx(0.4, abs=0.2)
    assert session.buffer.played_s == pytest.approx(3.0, abs=0.1)


def test_a_clip_that_ends_too_early_is_found() -> None:
    """A body of no told length, shorter than the catalogue's: `truncated`, though its framing is whole."""
    server = Server(Media(duration_s=5.0), tells_total=False)
    size = server.media.size + 1
    session, _ = played(server, CHROME(), [Step(Act.LEAVE, 1000.0)], proof=lambda: Proof(size=size))
    assert session.first_finding is not None
    assert session.first_finding.outcome == "truncated"


def _session(server: Server, name: str, acts: list[Step], *, reader: type[MediaReader] = MediaReader) -> Session:
    return Session(
        _players.MODELS[name](),
        lambda _: reader(server.media),
        Proof(),
        acts,
        opened=server.opened,
        clock=lambda: server.now_s,
        sleep=server.sleep,
    )
