"""Load the contact sheet of a clip: its thumbnails, over six connections at once as a browser does.

    locust -f media_thumbnails.py --host http://127.0.0.1:8000 --media-url /media/clip.mp4

Browsers keep to six connections for one host over HTTP/1.1 (Chromium's and Firefox's default).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from locust import events, task

import media_playback
from _options import Option, declare
from seatrial.user.response import Response

_CONNECTIONS = 6
_MOST_BYTES = 8 << 20
_ADDRESS = "/thumbs/{name}/{seconds}.jpg?width=320"
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF8", b"\0\0\0")
"""How JPEG, PNG, WebP, GIF and AVIF files begin."""
_OPTIONS: tuple[Option, ...] = (
    ("thumbnail", _ADDRESS, "where thumbnails are; {name} and {seconds} are replaced"),
    ("thumbnails", 24, "thumbnails of one contact sheet"),
    ("thumbnail-every", 5, "media seconds between two of them"),
)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    declare(parser, _OPTIONS)


class ContactSheet(media_playback.MediaUser):
    """Opens one contact sheet after the other."""

    endpoints = ("thumbnail",)
    options = (*media_playback.OPTIONS, *_OPTIONS)

    def prepare(self) -> None:
        """Read the options."""
        super().prepare()
        options: Any = self.environment.parsed_options
        self._address: str = options.media_thumbnail
        self._thumbnails: int = options.media_thumbnails
        self._every_s: int = options.media_thumbnail_every
        try:
            address = self._address.format(name="clip", seconds=0)
        except (AttributeError, KeyError, IndexError, ValueError) as error:
            self.refuse("the address of thumbnails can't be read", where="--media-thumbnail", seen=str(error))
        if not address.startswith("/") or self._thumbnails < 1:
            self.refuse("there is no such contact sheet", where="--media-thumbnail, --media-thumbnails")

    @task
    def contact_sheet(self) -> None:
        """Load all thumbnails of a clip."""
        clip = self.pick()
        name = PurePosixPath(clip.name).stem
        with self.flow("contact sheet") as flow:
            flow.detail.update(clip=clip.name, thumbnails_count=self._thumbnails)
            with self.parallel(_CONNECTIONS) as images:
                for number in range(self._thumbnails):
                    images.spawn(self._thumbnail, self._address.format(name=name, seconds=number * self._every_s))

    def _thumbnail(self, path: str) -> None:
        accept = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}
        self.client.get(
            path, endpoint="thumbnail", headers=accept, keep=True, limit_bytes=_MOST_BYTES, check=_image
        )


def _image(response: Response) -> str | None:
    """Return `rejected` for what is no image."""
    is_image = response.header("content-type").startswith("image/") and response.body.startswith(_MAGIC)
    return None if is_image else "rejected"
