"""Players in a real Locust child, against a real nginx: sequences, buffers, proof of the bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from process.locust_child import started
from process.media_child import CALM, LOCUSTFILES, catalogue, watched, write
from process.small_nginx import nginx

from seatrial.media.clip import Clip

pytestmark = pytest.mark.servers
CLIPS = {
    "/first.mp4": Clip(duration_s=120.0, bitrate_bps=4_000_000, moov="first", seed=1),
    "/last.mp4": Clip(duration_s=120.0, bitrate_bps=4_000_000, moov="last", seed=2),
}
SECONDS = ("--media-watch-most", "2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Give the URL of an nginx that serves the clips, and their catalogue."""
    folder = tmp_path_factory.mktemp("media")
    with nginx(folder) as served:
        for path, clip in CLIPS.items():
            write(clip, folder / "files" / path[1:])
        (folder / "files" / "small").write_bytes(b"pong")
        yield served.url, catalogue(folder, CLIPS.items())


SEQUENCES = {
    "chrome": (["opening"], ["opening", "tail", "range"]),
    "firefox": (["opening"], ["opening", "tail", "range"]),
    "ffmpeg": (["opening"], ["opening", "tail", "range"]),
    "android": (["opening"], ["opening", "tail", "range"]),
    "safari": (["probe", "opening"], ["probe", "opening", "tail", "range"]),
}
"""What a player asks of a clip with its index first, and last."""


def test_each_player_plays(server: tuple[str, str]) -> None:
    """Viewers with all players watch 2 s of a clip: nothing fails, the sequence is the player's."""
    url, listed = server
    options = (*CALM, *SECONDS, "--media-catalogue", listed, "--media-zipf", "0")
    run = watched(url, *options, "--media-player", ",".join(SEQUENCES), flows=24, users=24)
    assert run.outcomes <= {"ok", "aborted"}
    for flow in run.flows:
        asked = [row["endpoint"] for row in run.requests if row["flow_id"] == flow["flow_id"]]
        detail = flow["detail"]
        assert asked == SEQUENCES[flow["profile"]][detail["clip"] == "/last.mp4"]
        assert (flow["flow"], flow["outcome"]) == ("play", "ok")
        assert 1.9 < detail["played_s"] < 10.0
        assert detail["startup_s"] >= 0
        assert (detail["abandoned_ratio"], detail["seeks_count"]) == (0, 0)
        assert detail["received_bytes"] >= detail["distinct_bytes"] >= detail["played_bytes"] > 900_000
        assert (detail["media_s"], detail["resolution"], detail["fps"], detail["codec"]) == (
            120.0,
            "256x144",
            25.0,
            "h264",
        )
    assert len({(flow["profile"], flow["detail"]["clip"]) for flow in run.flows}) >= 8


def test_seeks_are_requests_of_their_own(server: tuple[str, str]) -> None:
    """Far seeks ask for other places, and their waits are measured; bytes that came twice are counted once."""
    url, listed = server
    seeking = "--media-seeks 90 --media-seek-distance 15 --media-watch-most 3".split()
    options = (*CALM, *seeking, "--media-catalogue", listed, "--media-player", "ffmpeg,android")
    run = watched(url, *options, flows=6, users=6)
    assert run.outcomes <= {"ok", "aborted"}
    assert run.labels.count("seek") >= 6
    details = [flow["detail"] for flow in run.flows]
    assert {flow["outcome"] for flow in run.flows} == {"ok"}
    assert sum(detail["seeks_count"] for detail in details) >= run.labels.count("seek")
    assert any(detail.get("seek_s", -1.0) >= 0 for detail in details)
    assert any(detail["received_bytes"] > detail["distinct_bytes"] for detail in details)


def test_a_timeline_is_dragged_through(server: tuple[str, str]) -> None:
    """Most positions are overtaken by the next one; what was waited for is one wait for each drag."""
    url, listed = server
    drags = "--media-drags 2 --media-drag-positions 5 --media-drag-every 0.1 --media-look 0.5".split()
    options = (*CALM, *drags, "--media-catalogue", listed, "--media-player", "ffmpeg")
    run = watched(url, *options, load="media_scrub")
    (flow,) = run.flows
    assert (flow["flow"], flow["outcome"], flow["detail"]["seeks_count"]) == ("scrub", "ok", 10)
    assert run.outcomes <= {"ok", "aborted"}
    assert 2 <= run.labels.count("seek") <= 10


def test_a_screening_is_one_flow_of_many_viewers(server: tuple[str, str]) -> None:
    """All watch one clip, and begin within the time that is given."""
    url, listed = server
    group = "--media-group-size 5 --media-group-within 0.5".split()
    options = (*CALM, *SECONDS, *group, "--media-catalogue", listed)
    run = watched(url, *options, load="media_group", flows=6)
    *plays, screening = run.flows
    assert (screening["flow"], screening["outcome"], screening["requests"]) == ("screening", "ok", 0)
    assert {(flow["flow"], flow["detail"]["clip"]) for flow in plays} == {("play", screening["detail"]["clip"])}
    begins_s = [flow["t_start_ns"] / 1e9 for flow in plays]
    assert max(begins_s) - min(begins_s) < 1.5
    assert screening["detail"]["slowest_startup_s"] == max(flow["detail"]["startup_s"] for flow in plays)


def test_a_download_is_proved_to_its_last_byte(server: tuple[str, str]) -> None:
    """The whole clip over one request."""
    url, listed = server
    run = watched(url, "--media-catalogue", listed, load="media_download", flows=2, users=2)
    assert run.outcomes == {"ok"}
    for flow in run.flows:
        assert (flow["flow"], flow["outcome"], flow["requests"]) == ("download", "ok", 1)
        assert flow["detail"]["received_bytes"] == CLIPS[flow["detail"]["clip"]].size


def test_a_contact_sheet_takes_six_connections(server: tuple[str, str]) -> None:
    """All its thumbnails are asked for; what is no image is refused."""
    url, _ = server
    address = (
        "--media-url",
        "/first.mp4",
        "--media-thumbnail",
        "/{name}.mp4?at={seconds}",
        "--media-thumbnails",
        "9",
    )
    run = watched(url, *address, load="media_thumbnails")
    assert run.labels == ["thumbnail"] * 9
    assert {row["connection"] for row in run.requests[:6]} == {"new"}
    assert run.flows[0]["flow"] == "contact sheet"
    assert run.outcomes == {"too_large"}  # the 60 MB of a clip, not an image


@pytest.mark.parametrize(
    ("options", "said"),
    [((), b"no clip to watch was named"), (("--media-url", "/x", "--media-player", "vlc"), b"no player 'vlc'")],
)
def test_what_can_not_be_played_is_refused_at_the_start(options: tuple[str, ...], said: bytes) -> None:
    """With the exit code of a usage error, and what would be right."""
    load = LOCUSTFILES / "media_playback.py"
    process = started("http://127.0.0.1:1", options, load, 1, {}, subprocess.PIPE)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in output


def test_a_probe_asks_beside_the_viewers(server: tuple[str, str]) -> None:
    """One user asks for something small, however many there are; the others watch."""
    url, listed = server
    probe = "--media-probe-url /small --media-probe-every 0.05".split()
    run = watched(url, *CALM, *SECONDS, *probe, "--media-catalogue", listed, load="media_probe", flows=2, users=3)
    assert {flow["flow"] for flow in run.flows} == {"play"}
    pings = [row for row in run.requests if row["endpoint"] == "ping"]
    assert len(pings) > 2
    assert {row["outcome"] for row in pings} == {"ok"}
    assert len({row["user"] for row in pings}) == 1
