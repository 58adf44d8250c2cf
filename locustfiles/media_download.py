"""Download whole MP4 clips as fast as they come, and prove their bytes.

locust -f media_download.py --host http://127.0.0.1:8000 --media-catalogue catalogue.json
"""

from __future__ import annotations

from locust import task

import media_playback
from _proof import Proof

_READ_BYTES = 256 * 1024


class Downloader(media_playback.MediaUser):
    """Downloads one clip after the other; options of viewers and players have no effect here."""

    endpoints = ("download",)

    @task
    def download(self) -> None:
        """Download a clip."""
        clip = self.pick()
        proof, received = Proof(clip.proof(), clip.size, clip.etag), 0
        with self.flow("download") as flow:
            flow.detail["clip"] = clip.name
            with self.client.stream(clip.path, endpoint="download") as stream:
                found = None
                if stream.ok:
                    response = stream.response
                    found = proof.head(response.headers, response.status, stream.total, ranged=False)
                while stream.ok and found is None and (view := stream.read(_READ_BYTES)):
                    found = proof.body(received, view)
                    received += len(view)
                if stream.complete and found is None:
                    found = proof.end(received)
                if found is not None:
                    stream.fail(found.outcome, found.reason)
            if stream.response.reason:
                flow.detail["reason"] = stream.response.reason
            flow.detail["received_bytes"] = received
