"""Seeding gives the same digests each time, pushes nothing twice, and sends credentials to the front door only."""

import importlib
import io
import json
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

sys.path.append(str(Path(__file__).parents[2] / "scenarios" / "stacks" / "registry"))
plan = importlib.import_module("seeding.plan")
registry = importlib.import_module("seeding.registry")
seed = importlib.import_module("seed")

Answer = tuple[int, dict[str, str], bytes]
DOOR = "http://door:8080"
CHALLENGE = 'Bearer realm="{}/token",service="trial"'
TOKEN: Answer = (200, {}, json.dumps({"access_token": "t0", "expires_in": 300}).encode())
UNAUTHORIZED: Answer = (401, {"WWW-Authenticate": CHALLENGE.format(DOOR)}, b"")
MISSING: Answer = (404, {}, b"")
BLOB = plan.Content("application/octet-stream", b"x" * 100)


class MemoryRegistry:
    """A registry that only remembers the digests that it was given."""

    def __init__(self) -> None:
        self.digests: set[tuple[str, str]] = set()

    def push_blob(self, repository: str, blob: Any) -> bool:  # noqa: ANN401  (the stack's types come from its folder)
        """Keep a blob."""
        return self.push_manifest(repository, "", blob)

    def push_manifest(self, repository: str, _reference: str, content: Any) -> bool:  # noqa: ANN401  (the same)
        """Keep a manifest."""
        is_new = (repository, content.digest) not in self.digests
        self.digests.add((repository, content.digest))
        return is_new


class Script(BaseAdapter):
    """Answers requests in order from (status, headers, body), and remembers them."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self.answers = list(answers)
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_args: object, **_more: object) -> requests.Response:
        """Answer one request."""
        self.requests.append(request)
        response = requests.Response()
        response.status_code, headers, body = self.answers.pop(0)
        response.headers.update(headers)
        response.raw, response.request, response.url = io.BytesIO(body), request, request.url or ""
        return response

    def close(self) -> None:
        """Do nothing."""


def _seeded(number: int, target: MemoryRegistry) -> tuple[Any, list[dict[str, Any]]]:
    seeder = seed.Seeder(target)
    shape = plan.Shape(1, 2, plan.Span(1, 3), plan.Span(2048, 8192), number)
    return seeder, [seeder.tag(tag) for tag in plan.tags(shape)]


def _registry(script: Script, **more: Any) -> Any:  # noqa: ANN401  (the same)
    session = requests.Session()
    session.mount("http://", script)
    return registry.Registry(DOOR, registry.Account("captain", "sesame"), session=session, **more)


def test_the_same_seed_gives_the_same_digests() -> None:
    """The digests of a seed never change, so an old catalogue stays valid; another seed shares nothing."""
    seven, eight = MemoryRegistry(), MemoryRegistry()
    _seeder, tags = _seeded(7, seven)
    _seeded(8, eight)

    assert [tag["index"] for tag in tags] == [
        "sha256:4cc38faf2fa77019088509c94b2ff715f9b68a3b975c598cb4893574ac8b9f12",
        "sha256:fc6caa8695f20469ab9c035c24f79ae9e10ab581ccf32860b41b5572bf5f9e01",
    ]
    assert len(seven.digests) == 17
    assert not seven.digests & eight.digests


def test_a_second_seeding_pushes_nothing() -> None:
    """Content that is present is counted, not pushed."""
    target = MemoryRegistry()
    (first, _), (second, _) = _seeded(7, target), _seeded(7, target)

    assert (first.pushed, first.present) == (17, 0)
    assert (second.pushed, second.present) == (0, 17)
    assert first.total_bytes == second.total_bytes == 34302


def test_tags_of_a_repository_share_their_base_layer() -> None:
    """As in real repositories, a new tag is not all new bytes."""
    _seeder, (first, second) = _seeded(7, MemoryRegistry())

    assert first["platforms"][0]["layers"][0] == second["platforms"][0]["layers"][0]
    assert first["platforms"][0]["layers"][0] != first["platforms"][1]["layers"][0]


def test_every_tag_has_both_platforms_and_its_number_of_layers() -> None:
    """Each image keeps to the shape, and every size is within its span."""
    tags = list(plan.tags(plan.Shape(3, 4, plan.Span(2, 5), plan.Span(4096, 65536), 1)))
    images = [image for tag in tags for image in tag.images]

    assert len(tags) == 12
    assert [image.platform for image in tags[0].images] == ["linux/amd64", "linux/arm64"]
    assert {len(image.layers) for image in images} == {2, 3, 4, 5}
    assert all(4096 <= layer.size_bytes <= 65536 for image in images for layer in image.layers)


def test_a_layer_is_a_tar_archive_of_incompressible_bytes() -> None:
    """Real clients unpack it, and no proxy makes it smaller."""
    content = plan.layer(plan.Layer("7:app-1:v1:linux/amd64:2", 20480))
    with tarfile.open(fileobj=io.BytesIO(content.data)) as archive:
        (member,) = archive.getmembers()

    assert (len(content.data), member.size, member.mtime) == (20480, 18944, 0)
    assert len(zlib.compress(content.data)) > 18944


def test_the_index_names_its_platforms_and_the_manifest_its_layers() -> None:
    """The documents are those of the OCI image specification."""
    layer = plan.layer(plan.Layer("k", 2048)).descriptor()
    config = plan.config("linux/arm64", [layer["digest"]])
    manifest = plan.manifest(config.descriptor(), [layer])
    index = json.loads(plan.index([("linux/arm64", manifest)]).data)

    assert json.loads(config.data)["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}
    assert json.loads(manifest.data)["layers"] == [layer]
    assert index["manifests"][0]["platform"] == {"architecture": "arm64", "os": "linux"}
    assert index["manifests"][0]["digest"] == manifest.digest


@pytest.mark.parametrize("chunked", [False, True])
def test_a_blob_goes_up_whole_or_by_patch(*, chunked: bool) -> None:
    """The Location is used as the registry gave it, with its own query."""
    location = {"Location": f"{DOOR}/v2/app/blobs/uploads/1?_state=s"}
    patch: list[Answer] = [(202, location, b"")] if chunked else []
    script = Script(UNAUTHORIZED, TOKEN, MISSING, (202, location, b""), *patch, (201, {}, b""))

    assert _registry(script, chunked=chunked).push_blob("app", BLOB)

    methods = ["GET", "POST", "HEAD", "POST", *(["PATCH"] if chunked else []), "PUT"]
    assert [request.method for request in script.requests] == methods
    assert (script.requests[-1].url or "").endswith(f"/v2/app/blobs/uploads/1?_state=s&digest={BLOB.digest}")
    assert script.requests[4].headers.get("Transfer-Encoding") == ("chunked" if chunked else None)


def test_a_token_is_renewed_before_it_ends() -> None:
    """A long seeding does not fail because its token is old."""
    now_s = [0.0]
    present: Answer = (200, {}, b"")
    script = Script(UNAUTHORIZED, TOKEN, present, present, TOKEN, present)
    target = _registry(script, clock_s=lambda: now_s[0])
    for now_s[0] in (0.0, 269.0, 271.0):
        target.push_blob("app", BLOB)

    assert [request.method for request in script.requests] == ["GET", "POST", "HEAD", "HEAD", "POST", "HEAD"]


def test_password_and_token_go_to_no_other_host() -> None:
    """A realm or an upload location that points elsewhere is refused before anything is sent there."""
    script = Script((401, {"WWW-Authenticate": CHALLENGE.format("http://elsewhere")}, b""))
    with pytest.raises(registry.SeedError, match="http://door:8080 only, not to elsewhere"):
        _registry(script)
    assert len(script.requests) == 1

    script = Script(UNAUTHORIZED, TOKEN, MISSING, (202, {"Location": "http://elsewhere/v2/app/1"}, b""))
    with pytest.raises(registry.SeedError, match="not to elsewhere"):
        _registry(script).push_blob("app", BLOB)
    assert len(script.requests) == 4


def test_a_refusal_is_one_line_without_the_query() -> None:
    """The message names request, status and answer, but no signed state."""
    location = {"Location": f"{DOOR}/v2/app/blobs/uploads/1?_state=signed"}
    script = Script(UNAUTHORIZED, TOKEN, MISSING, (202, location, b""), (413, {}, b"too\nlarge"))

    with pytest.raises(registry.SeedError) as refused:
        _registry(script).push_blob("app", BLOB)
    assert str(refused.value) == "PUT /v2/app/blobs/uploads/1: 413, expected 201: too large"


@pytest.mark.parametrize(
    "argv", [["--layers", "0"], ["--layers", "8-1"], ["--layer-size", "3"], ["--layer-size", "2MiB-1MiB"]]
)
def test_a_wrong_shape_or_a_missing_front_door_is_refused(argv: list[str]) -> None:
    """Before anything is pushed."""
    with pytest.raises(SystemExit) as ended:
        seed.main(argv, {"SEATRIAL_FRONT_DOOR": DOOR})
    assert ended.value.code == 2
    with pytest.raises(registry.SeedError, match="SEATRIAL_FRONT_DOOR is not set"):
        seed.main([], {})
