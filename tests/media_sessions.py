"""Playing sessions without network or time: a simulated clip, a server with a rate and faults, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from _player import Ask, Player, Stop
from _proof import Proof
from _session import Session
from _viewer import Act, Step

MOOV_BYTES = 50_000
HEADER_BYTES = 48
SECOND_BYTES = 500_000


@dataclass(frozen=True)
class Media:
    """A clip of one constant rate; a sync sample begins each second. It is its own index."""

    duration_s: float = 300.0
    moov_first: bool = True
    bytes_per_s: int = SECOND_BYTES

    @property
    def mdat(self) -> int:
        """Where the samples begin."""
        return HEADER_BYTES + (MOOV_BYTES if self.moov_first else 0)

    @property
    def size(self) -> int:
        """The whole."""
        return HEADER_BYTES + MOOV_BYTES + int(self.duration_s * self.bytes_per_s)

    @property
    def bitrate_bps(self) -> float:
        """Bits for each second."""
        return self.bytes_per_s * 8.0

    @property
    def moov(self) -> tuple[int, int]:
        """The first and last byte of the index."""
        first = HEADER_BYTES if self.moov_first else self.size - MOOV_BYTES
        return first, first + MOOV_BYTES - 1

    def offset_at(self, seconds: float) -> int:
        """Return the sync sample at or before."""
        return self.mdat + int(seconds) * self.bytes_per_s

    def seconds_at(self, offset: int) -> float:
        """Return what is complete before an offset."""
        return min(max(offset - self.mdat, 0) / self.bytes_per_s, self.duration_s)


class MediaReader:
    """Takes the head of the file, then the moov, wherever it is."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self._needs = [(0, HEADER_BYTES - 1), media.moov]

    @property
    def missing(self) -> tuple[int, int] | None:
        """The range that it needs next."""
        return self._needs[0] if self._needs else None

    @property
    def index(self) -> Media | None:
        """The clip, once it is known."""
        return None if self._needs else self._media

    def ended(self) -> None:
        """Nothing is missing."""

    def feed(self, offset: int, view: bytes | memoryview) -> None:
        """Take bytes."""
        while self._needs and offset <= self._needs[0][0] < offset + len(view):
            first, last = self._needs.pop(0)
            end = offset + len(view)
            if end <= last:
                self._needs.insert(0, (max(first, end), last))


@dataclass
class Reply:
    """An answer's head."""

    status: int = 206
    headers: Mapping[str, str] = field(default_factory=dict)
    outcome: str = "ok"
    reason: str = ""


class SimulatedStream:
    """An open request on the simulated server."""

    def __init__(self, server: Server, ask: Ask, reply: Reply) -> None:
        self._server = server
        self.response = reply
        size = server.media.size
        served = 0 if reply.status == 200 else ask.first
        self.position = served
        self.total: int | None = size if server.tells_total else None
        self._end = size if reply.status == 200 or ask.last is None else ask.last + 1
        self._cut = min(self._end, served + server.cut_after) if server.cut_after else self._end

    @property
    def ok(self) -> bool:
        """Whether nothing has failed."""
        return self.response.outcome == "ok"

    @property
    def complete(self) -> bool:
        """Whether the whole body came."""
        return self.position >= self._end

    def read(self, limit: int, until_ns: int | None = None) -> memoryview | None:
        """Let time pass while bytes come at the server's rate."""
        server = self._server
        count = min(limit, self._cut - self.position)
        if not count:
            if not self.complete:
                self.fail("truncated", "closed before the end")
            return memoryview(b"")
        due_s = server.now_s + count / server.bytes_per_s + server.wait_s
        if until_ns is not None and due_s > until_ns / 1e9 + 1e-9:
            server.wait_s -= max(until_ns / 1e9 - server.now_s, 0.0)
            server.now_s = max(server.now_s, until_ns / 1e9)
            return None
        server.now_s, server.wait_s = due_s, 0.0
        self.position += count
        return memoryview(bytes(count))

    def fail(self, outcome: str, reason: str) -> None:
        """Record the first failure."""
        if self.ok:
            self.response.outcome, self.response.reason = outcome, reason


@dataclass
class Server:
    """Serves one clip; `status` 200: without ranges. `cut_after`: closes each body after so many bytes."""

    media: Media = field(default_factory=Media)
    bytes_per_s: float = 50e6
    ranges: bool = True
    tells_total: bool = True
    cut_after: int = 0
    wait_s: float = 0.0
    fields: Mapping[str, str] = field(default_factory=dict)
    replies: Mapping[int, Reply] = field(default_factory=dict)
    now_s: float = 1000.0
    asked: list[Ask] = field(default_factory=list)
    left: list[tuple[int, int]] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @contextmanager
    def opened(self, ask: Ask, headers: Mapping[str, str]) -> Iterator[SimulatedStream]:
        """Answer one request; `replies` are instead of the usual answer, by the number of the request."""
        number = len(self.asked)
        self.asked.append(ask)
        self.times_s.append(self.now_s)
        self.headers.append(headers)
        usual = Reply(206 if ask.ranged and self.ranges else 200, self.fields)
        stream = SimulatedStream(self, ask, self.replies.get(number, usual))
        yield stream
        self.left.append((ask.first, stream.position))

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    @property
    def ranges_asked(self) -> list[tuple[str, int, int | None]]:
        """Label, first and last byte of each request."""
        return [(ask.label, ask.first, ask.last) for ask in self.asked]


def played(
    server: Server,
    player: Player,
    acts: Iterable[Step] = (Step(Act.LEAVE, 5.0),),
    *,
    proof: Callable[[], Proof] = Proof,
    patience_s: float = float("inf"),
) -> tuple[Session, Stop]:
    """Return a session that has ended, and why."""
    session = Session(
        player,
        lambda _: MediaReader(server.media),
        proof(),
        acts,
        opened=server.opened,
        clock=lambda: server.now_s,
        sleep=server.sleep,
        patience_s=patience_s,
    )
    return session, session.run()
