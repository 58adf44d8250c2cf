"""Right and wrong access in a real Locust child: what is refused, and what a service gives out by mistake."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from process.locust_child import Child, locust_child
from process.media_child import LOCUSTFILES, catalogue
from process.served import Handler, served

from _policy import RIGHT, WRONG
from seatrial.media.clip import Clip

CLIP = Clip(duration_s=2.0, bitrate_bps=2_000_000)


class Studio(Handler):
    """Gives out what `director` asks for from the site, and whatever has a signature that has not expired."""

    def do_GET(self) -> None:
        """Answer; it looks neither at the signature itself nor, where there is one, at the user."""
        query = parse_qs(urlsplit(self.path).query)
        if "signature" in query:
            self._answer(410 if int(query["expires"][0]) < time.time() else 206)
        else:
            is_right = "X-Forwarded-For" not in self.headers and self.headers["X-User"] == "director"
            self._answer(206 if is_right else 403)

    def _answer(self, status: int) -> None:
        if status != 206:
            self.answer(status, b"no")
            return
        first, last = map(int, re.findall(r"\d+", self.headers["Range"]))
        content = CLIP.read(first, last - first + 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{CLIP.size}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


ADMITTED = {"forged", "other clip", "signed, no permission"}
"""What such a service gives out although it must not."""


def test_what_is_given_out_by_mistake_is_admitted(tmp_path: Path) -> None:
    """Each kind of fault has its endpoint: a refusal is no failure, and an answer in its place is."""
    listed = catalogue(tmp_path, [("/media/a.mp4", CLIP)])
    words = ("--media-catalogue", listed, "--media-wait", "0.01", "--media-range-bytes", "200000")
    variables = {"MEDIA_SIGNING_KEY": "a key of this test"}
    with (
        served(Studio) as url,
        locust_child(
            url, *words, locustfile=LOCUSTFILES / "media_policies.py", users=4, environment=variables
        ) as child,
    ):
        child.open_gate()
        child.until(lambda: len(_kinds(child)) == len(RIGHT) + len(WRONG) and len(child.lines("flows")) > 60)
        assert child.stop(2.0) == 0, child.log
        flows, requests, log = child.lines("flows"), child.requests(), child.log
    outcomes = {row["endpoint"]: row["outcome"] for row in requests if row["outcome"] != "cut"}
    assert outcomes == {kind: "admitted" if kind in ADMITTED else "ok" for kind in (*RIGHT, *WRONG)}
    told = {
        (flow["profile"], flow["outcome"], flow["detail"]["admitted_count"])
        for flow in flows
        if flow["flow"] == "refusal" and flow["outcome"] != "cut"
    }
    assert told == {(kind, *(("admitted", 1) if kind in ADMITTED else ("ok", 0))) for kind in WRONG}
    assert all(row["bytes_received"] < 100_000 for row in requests if row["outcome"] == "admitted")
    assert variables["MEDIA_SIGNING_KEY"] not in log
    assert "signature=" not in log


def _kinds(child: Child) -> set[str]:
    return {flow["profile"] for flow in child.lines("flows")}
