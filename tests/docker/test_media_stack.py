"""The media stack, brought up by `docker compose` alone: routes, ranges, refusals, the bytes of every variant."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from compose_project import Project, project, wait_for_success

from _policy import RIGHT, WRONG, Circumstances
from seatrial.media.clip import Clip
from seatrial.model import Variant
from seatrial.scenario import reading

pytestmark = pytest.mark.docker

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "media"
KEY, TOKEN = "sesame-for-signing", "sesame-for-ingest"
SCENARIOS = ("delivery", "workers", "slow-viewers", "thumbnails", "policies")
VARIANTS = {
    f"{scenario}-{name}": variant
    for scenario in SCENARIOS
    for name, variant in reading.read(f"media-{scenario}").variants.items()
    if name != "base"
    and (scenario == "delivery" or name in {"busyness", "gevent-unbuffered", "secure-link", "cached"})
}
_SHORT = ("delivery-accel", "delivery-sliced")
_WHOLE = "a range from the first byte to the last: 200"


@dataclass
class Studio:
    """The media stack, whose variant is changed while it is up, and the URL of its front door."""

    project: Project
    url: str = ""

    def up(self, variant: Variant | None = None, **settings: str) -> None:
        """Start the stack, or change it to a variant or to settings of `media`, and wait until it answers."""
        override: dict[str, Any] = {"services": {}}
        if variant:
            override = {"services": {**variant.compose.get("services", {})}}
            if mounts := _mounts(variant):
                override["services"]["nginx"] = {"volumes": mounts}
        if settings:
            override["services"]["media"] = {"environment": settings}
        self.project.up(override)
        if not (variant and variant.files):
            self.project.compose("restart", "--timeout", "1", "nginx")  # it looks its upstreams up at start only
        self.url = f"http://{self.project.compose('port', 'nginx', '80').strip()}"
        wait_for_success(f"{self.url}/ping")

    def seed(self, *words: str) -> dict[str, Any]:
        """Seed, and return the catalogue."""
        environment = self.project.environment | {"SEATRIAL_FRONT_DOOR": self.url}
        shape = ["--clips", "2", "--duration", "3", "--no-newlines", "--vault", *words]
        subprocess.run([sys.executable, "seed.py", *shape], cwd=STACK, env=environment, check=True, timeout=60)
        catalogue: dict[str, Any] = json.loads(Path(self.project.variables["SEATRIAL_CATALOGUE"]).read_text())
        return catalogue

    def clips(self) -> dict[str, Clip]:
        """Return what was seeded, by path."""
        catalogue = json.loads(Path(self.project.variables["SEATRIAL_CATALOGUE"]).read_text())
        return {one["path"]: Clip.from_spec(one["clip"]) for one in catalogue["clips"]}

    def get(self, target: str, **headers: str) -> requests.Response:
        """GET; a name such as X_User is the header X-User."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(f"{self.url}{target}", headers=named, timeout=20)

    def wrong_bytes(self) -> list[str]:
        """Ask for ranges of every clip, and return those whose answer is not exactly them."""
        found = []
        for path, clip in self.clips().items():
            for first, last in ((0, 1), (0, clip.size - 1), (clip.size // 2, clip.size // 2 + 99_999)):
                answer = self.get(path, Range=f"bytes={first}-{last}")
                told = answer.headers.get("Content-Range")
                if answer.status_code == 200 and last - first + 1 == clip.size == len(answer.content):
                    found.append(_WHOLE)
                elif (answer.status_code, told) != (206, f"bytes {first}-{last}/{clip.size}"):
                    found.append(f"{path} {first}-{last}: {answer.status_code} {told}")
                elif len(answer.content) != last - first + 1 or clip.matches(first, answer.content) != -1:
                    found.append(f"{path} {first}-{last}: wrong bytes")
        return found

    def log(self) -> list[dict[str, Any]]:
        """Return the access log."""
        lines = self.project.run_inside("nginx", "cat", "/var/log/nginx/access.log").splitlines()
        return [json.loads(line) for line in lines]

    def questions(self) -> int:
        """Return how many connections the permission service has accepted: one for each question."""
        return self.project.accepted_connections("assets")


def _mounts(variant: Variant) -> list[str]:
    """Return the mounts of a variant's files in the place of those that they replace; all are nginx's."""
    services = yaml.safe_load((STACK / "compose.yaml").read_text(encoding="utf-8"))["services"]
    targets = {STACK / mount.split(":")[0]: mount.split(":")[1] for mount in services["nginx"]["volumes"]}
    return [f"{new}:{targets[old]}:ro" for old, new in variant.files.items()]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Bring the stack up once, seed it, and remove all of it at the end."""
    folder = tmp_path_factory.mktemp("media")
    variables = {
        "MEDIA_SIGNING_KEY": KEY,
        "MEDIA_INGEST_TOKEN": TOKEN,
        "SEATRIAL_CATALOGUE": str(folder / "catalogue.json"),
    }
    with project(STACK / "compose.yaml", folder, **variables) as own:
        studio = Studio(own)
        studio.up()
        studio.seed()
        yield studio


def test_a_seeded_clip_is_served_to_the_byte(stack: Studio) -> None:
    """By Flask's send_file on uWSGI; also the one without newlines, and past the end."""
    clips = stack.clips()
    (path, clip), *_ = clips.items()
    head = requests.head(f"{stack.url}{path}", timeout=10)
    past = stack.get(path, Range=f"bytes={clip.size}-")

    assert set(clips) == {"/media/clip-0.mp4", "/media/clip-1.mp4", "/media/clip-no-newlines.mp4"}
    assert stack.wrong_bytes() == []
    assert (head.headers["Content-Length"], head.headers["Content-Type"]) == (str(clip.size), "video/mp4")
    assert (past.status_code, past.headers["Content-Range"]) == (416, f"bytes */{clip.size}")


def test_a_second_seeding_sends_nothing(stack: Studio) -> None:
    """What is there is present; the group's clip can't be looked at, and is sent again."""
    again = stack.seed()

    assert (again["sent"], again["present"]) == (1, 3)


def test_ingest_needs_the_token(stack: Studio) -> None:
    """401, and nothing is there."""
    refused = requests.put(
        f"{stack.url}/ingest/x.mp4", data=b"x", headers={"Authorization": "Bearer y"}, timeout=10
    )

    assert refused.status_code == 401
    assert stack.get("/media/x.mp4").status_code == 404


def test_only_the_front_door_is_published_and_answers_only_what_it_has(stack: Studio) -> None:
    """What nginx keeps for itself is 404 from outside."""
    services = [json.loads(line) for line in stack.project.compose("ps", "--format", "json").splitlines()]
    published = {
        (one["Service"], port["URL"], port["TargetPort"])
        for one in services
        for port in one["Publishers"] or ()
        if port["PublishedPort"]
    }

    assert published == {("nginx", "127.0.0.1", 80)}
    for path in (
        "/protected/clip-0.mp4",
        "/authorize-plain",
        "/authorize/plain/clip-0.mp4",
        "/media/clip-0.mp4.json",
    ):
        assert stack.get(path).status_code in {403, 404}


def test_an_address_is_believed_from_nginx_only(stack: Studio) -> None:
    """Through the front door a foreign address is refused; another container can't claim one to the service."""
    claim = (
        "import urllib.request as u; r = u.Request('http://media:8000/media/clip-0.mp4', "
        "headers={'X-Forwarded-For': '203.0.113.9', 'Range': 'bytes=0-1'}); print(u.urlopen(r, timeout=5).status)"
    )

    assert stack.get("/media/clip-0.mp4", X_Forwarded_For="203.0.113.9").status_code == 403
    assert stack.project.run_inside("ids", "python3", "-c", claim) == "206\n"


def _judged(stack: Studio) -> dict[str, int]:
    """Return the status of every kind of request."""
    now_s = int(time.time())
    situation = Circumstances("clip-0.mp4", now_s, KEY, "director", "intern")
    made = {kind: make(situation) for kind, make in (RIGHT | WRONG).items()}
    return {
        kind: stack.get(one.target, Range="bytes=0-9", **one.headers).status_code for kind, one in made.items()
    }


def test_flask_and_nginx_decide_the_same(stack: Studio) -> None:
    """One rule, two implementations: right, expired, forged, for another clip, foreign, without a permission."""
    by_flask = _judged(stack)
    stack.up(reading.read("media-policies").variants["secure-link"])
    by_nginx = _judged(stack)
    configured = stack.project.run_inside("nginx", "nginx", "-T")

    assert by_flask == {
        "plain": 206,
        "signed": 206,
        "expired": 410,
        "forged": 403,
        "other clip": 403,
        "foreign subnet": 403,
        "no permission": 403,
        "signed, no permission": 403,
    }
    assert by_nginx == by_flask
    assert "secure_link_md5" in configured


def test_a_clip_of_another_group_is_refused(stack: Studio) -> None:
    """The permission alone does not suffice: `screening` may see everything, and has not the clip's group."""
    assert stack.get("/media/vault-0.mp4").status_code == 403


def test_a_permission_is_asked_once_or_each_time(stack: Studio) -> None:
    """Redis keeps it, and the permission service sees one question in place of ten."""
    for cache_s, asked in (("60", 1), ("0", 10)):
        if cache_s != "60":  # the default, with which the stack is up
            stack.up(PERMISSION_CACHE_S=cache_s)
        stack.project.run_inside("redis", "redis-cli", "FLUSHALL")
        before = stack.questions()
        codes = [stack.get("/media/clip-0.mp4", X_User="editor", Range="bytes=0-1").status_code for _ in range(10)]
        assert (codes, stack.questions() - before) == ([206] * 10, asked)


def test_a_thumbnail_is_a_picture_of_its_second(stack: Studio) -> None:
    """A JPEG of the width that was asked for; another second is another picture; permissions count here, too."""
    first, again, other = (stack.get(f"/thumbs/clip-0/{second}.jpg?width=160") for second in ("1", "1.0", "2"))

    assert (first.status_code, first.headers["Content-Type"]) == (200, "image/jpeg")
    assert first.content.startswith(b"\xff\xd8\xff")
    assert first.content == again.content != other.content
    assert stack.get("/thumbs/clip-0/99.jpg").status_code == 404
    assert stack.get("/thumbs/clip-0/1.jpg?width=9999").status_code == 400
    assert stack.get("/thumbs/clip-0/1.jpg", X_User="intern").status_code == 403


def test_no_service_can_write_to_its_own_layer(stack: Studio) -> None:
    """Logs, temporary files and data are on volumes or tmpfs, where the storage driver costs nothing."""
    for service in ("nginx", "media", "thumbs", "redis"):
        with pytest.raises(AssertionError, match="Read-only file system"):
            stack.project.compose("exec", "-T", "--user", "root", service, "touch", "/var/cache/x")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in _SHORT else pytest.mark.long) for name in sorted(VARIANTS)]
)
def test_a_variant_serves_the_right_bytes_and_refuses_as_the_base_does(stack: Studio, name: str) -> None:
    """Whichever server sends them; what the service sent is in the log once, whichever way it went."""
    stack.up(VARIANTS[name])
    before = len(stack.log())
    wrong = stack.wrong_bytes()
    refused = [stack.get("/media/clip-0.mp4", X_User="intern", Range="bytes=0-1").status_code for _ in range(3)]
    lines = stack.log()[before:]
    fetched = sum(
        int(part) for line in lines for part in line["upstream_bytes_received"].split(", ") if part.isdigit()
    )
    sent = sum(line["bytes_sent"] for line in lines if line["status"] in {200, 206})
    size = sum(clip.size for clip in stack.clips().values())

    # uWSGI's static files ignore that range, as RFC 9110 section 14.2 allows; players learn no size from it.
    assert wrong == ([_WHOLE] * len(stack.clips()) if name == "delivery-static-map" else [])
    assert refused == [403] * 3
    assert sent > size
    by_nginx = name == "policies-secure-link" or "accel" in name or ("static" in name and "map" not in name)
    if by_nginx:
        assert fetched < 100_000
    else:
        assert size <= fetched < (1.2 if "cached" in name else 1.5) * size
