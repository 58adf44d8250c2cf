"""Ask for clips with right and with wrong access: what has to be refused is refused under load too.

    locust -f media_policies.py --host http://127.0.0.1:8000 --media-catalogue catalogue.json --media-wrong 0.5

The key of signed URLs stands in the environment variable MEDIA_SIGNING_KEY. A wrong request is a flow `refusal`,
its profile the kind of fault; one that was served is `admitted`, and counted in the flow's `admitted_count`.
"""

from __future__ import annotations

import os
import time
from typing import Any

from locust import events, task

from _options import Option, declare, wrong_number
from _policy import GIVEN_OUT, RIGHT, WRONG, Attempt, Circumstances
from seatrial.media.catalogue import Entry, load
from seatrial.user import LeanUser

_PIECE_BYTES = 65_536
_MOST_REFUSAL_BYTES = 65_536
_OPTIONS: tuple[Option, ...] = (
    ("catalogue", "", "a catalogue.json of clips to choose from, whose bytes are proved"),
    ("wrong", 0.5, "share of requests with wrong access: from 0 to 1"),
    ("wait", 0.2, "seconds between two requests of a user"),
    ("range-bytes", 262_144, "bytes that a request asks for"),
    ("allowed-user", "director", "who may see the clips"),
    ("refused-user", "intern", "who may not"),
)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    declare(parser, _OPTIONS)


class Policies(LeanUser):
    """Asks for a range of a clip, each time anew with one kind of access."""

    endpoints = (*RIGHT, *WRONG)

    def prepare(self) -> None:
        """Read the options."""
        options: Any = self.environment.parsed_options
        self._wrong: float = options.media_wrong
        if wrong := wrong_number(options, _OPTIONS):
            self.refuse("a number is out of range", where=wrong[0], seen=wrong[1], expected="0 or more")
        if self._wrong > 1:
            self.refuse("a share is from 0 to 1", where="--media-wrong", seen=str(self._wrong))
        if not options.media_range_bytes:
            self.refuse("a request asks for a byte at least", where="--media-range-bytes", seen="0")
        self._wait_s: float = options.media_wait
        self._range_bytes: int = options.media_range_bytes
        self._users: tuple[str, str] = options.media_allowed_user, options.media_refused_user
        self._key = os.environ.get("MEDIA_SIGNING_KEY", "")
        if not self._key:
            self.refuse("no key to sign URLs with", expected="the environment variable MEDIA_SIGNING_KEY")
        self._clips = load(options.media_catalogue)

    def wait_time(self) -> float:
        """Seconds between two requests."""
        return self._wait_s

    @task
    def ask(self) -> None:
        """Ask once."""
        clip = self.random.choice(self._clips)
        situation = Circumstances(clip.path.rpartition("/")[2], int(time.time()), self._key, *self._users)
        if self.random.random() < self._wrong:
            kind = self.random.choice(list(WRONG))
            self._refused(kind, WRONG[kind](situation))
        else:
            kind = self.random.choice(list(RIGHT))
            self._allowed(kind, RIGHT[kind](situation), clip)

    def _allowed(self, kind: str, attempt: Attempt, clip: Entry) -> None:
        """Get a range, and prove its bytes."""
        first = self.random.randrange(max(1, (clip.size or 1) - self._range_bytes))
        last = min(clip.size or self._range_bytes, first + self._range_bytes) - 1
        proof = clip.proof()
        with (
            self.flow("access", profile=kind),
            self.client.stream(
                attempt.target, endpoint=kind, range=(first, last), headers=attempt.headers
            ) as stream,
        ):
            while stream.ok:
                at = stream.position
                view = stream.read(_PIECE_BYTES)
                if not view:
                    break
                wrong = proof.wrong(at, view) if proof else None
                if wrong is not None:
                    stream.fail("digest", f"wrong bytes from offset {wrong} on")

    def _refused(self, kind: str, attempt: Attempt) -> None:
        """Ask for what has to be refused; what is served all the same is left after its head."""
        headers = attempt.headers | {"Range": f"bytes=0-{self._range_bytes - 1}"}
        with self.flow("refusal", profile=kind) as flow:
            with self.client.stream(
                attempt.target, endpoint=kind, headers=headers, expect=(*attempt.refusals, *GIVEN_OUT)
            ) as stream:
                status, left_bytes = stream.response.status, _MOST_REFUSAL_BYTES
                if status in GIVEN_OUT:
                    stream.fail("admitted", f"status {status} where it has to be refused")
                while stream.ok and left_bytes > 0 and (view := stream.read(left_bytes)):
                    left_bytes -= len(view)
            flow.detail["admitted_count"] = int(status in GIVEN_OUT)
