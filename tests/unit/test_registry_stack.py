"""The registry stack: its token service, its seeding, and the files of its variants."""

import difflib
import importlib
import importlib.util
import io
import json
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from requests.adapters import BaseAdapter

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "registry"
sys.path.append(str(STACK))


def _seed() -> Any:  # noqa: ANN401  (a module)
    """Load `seed.py` by its path: each stack has one, and its name is that of the first one to be imported."""
    spec = importlib.util.spec_from_file_location("registry_seed", STACK / "seed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plan = importlib.import_module("seeding.plan")
registry = importlib.import_module("seeding.registry")
seed = _seed()
app = importlib.import_module("auth.app")
scopes = importlib.import_module("auth.scopes")
settings = importlib.import_module("auth.settings")
tokens = importlib.import_module("auth.tokens")
users = importlib.import_module("auth.users")

NOW_S = 1_700_000_000.9
SERVICE = "seatrial-registry"
ACCOUNTS = {
    "users": [{"name": "captain", "password_hash": "sesame", "access": "repository:*:pull,push"}],
    "anonymous_access": "repository:public/*:pull",
    "decoy_hash": "decoy",
}


class Store:
    """Refresh tokens in memory."""

    def __init__(self, *, answers: bool = True) -> None:
        self.tokens: dict[str, tuple[str, str]] = {}
        self.answers = answers

    def issue(self, user: str, service: str) -> str:
        """Make a token."""
        if not self.answers:
            raise ConnectionError("the store does not answer")
        token = f"refresh-{len(self.tokens)}"
        self.tokens[token] = (user, service)
        return token

    def owner(self, token: str, service: str) -> str | None:
        """Find a token."""
        user, audience = self.tokens.get(token, (None, None))
        return user if audience == service else None


def _client(store: Store | None = None, **environment: str) -> FlaskClient:
    service = tokens.TokenService(
        settings=settings.from_environment(environment),
        users=users.Directory(json.dumps(ACCOUNTS), matches=lambda password, stored: password == stored),
        refresh=store or Store(),
        sign=lambda claims: json.dumps(claims, sort_keys=True),
        now_s=lambda: NOW_S,
        token_id=lambda: "id",
    )
    client: FlaskClient = app.create(service).test_client()
    return client


def _access(answer: dict[str, Any]) -> list[dict[str, Any]]:
    access: list[dict[str, Any]] = json.loads(answer["access_token"])["access"]
    return access


def _post(client: FlaskClient, **form: str) -> Any:  # noqa: ANN401  (werkzeug's test response is untyped)
    return client.post("/token", data={"service": SERVICE, "client_id": "test", **form})


PASSWORD = {"grant_type": "password", "username": "captain", "password": "sesame"}
ASK = {"service": SERVICE, "scope": "repository:app:pull"}
RULES = ("*:pull", "a*:*", "team/*:*")


def test_get_with_basic_gives_a_token_for_the_scope() -> None:
    """`token` and `access_token` are equal; the answer has their lifetime and when they were issued."""
    answer = _client().get("/token", query_string=ASK, auth=("captain", "sesame"))
    body = answer.get_json()
    assert body["token"] == body["access_token"]
    assert (body["expires_in"], body["issued_at"]) == (300, "2023-11-14T22:13:20Z")
    access = [{"type": "repository", "name": "app", "actions": ["pull"]}]
    names = {"iss": "seatrial-auth", "sub": "captain", "aud": SERVICE, "jti": "id"}
    times = {"iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_000_300}
    assert json.loads(body["token"]) == {**names, **times, "access": access}
    assert "refresh_token" not in body
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "login",
    [
        *(
            {"auth": auth}
            for auth in (("captain", "wrong"), ("unknown", "sesame"), ("unknown", "decoy"), ("", ""))
        ),
        *({"headers": {"Authorization": header}} for header in ("Basic", "Basic !!!", "Bearer abc")),
    ],
)
def test_get_with_wrong_or_garbled_credentials_is_401(login: dict[str, Any]) -> None:
    """The answer is the same for a wrong name and a wrong password; neither is anonymous."""
    answer = _client().get("/token", query_string=ASK, **login)
    assert answer.status_code == 401
    assert answer.get_json()["error"] == "invalid_client"
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="registry"'


def test_anonymous_gets_what_is_public_and_nothing_else() -> None:
    """Without credentials there is a token, whose access may be empty."""
    query = {"service": SERVICE, "scope": ["repository:public/app:pull,push", "repository:app:pull"]}
    answer = _client().get("/token", query_string={**query, "offline_token": "true"})
    assert _access(answer.get_json()) == [{"type": "repository", "name": "public/app", "actions": ["pull"]}]
    assert json.loads(answer.get_json()["token"])["sub"] == ""
    assert "refresh_token" not in answer.get_json()


def test_several_scopes_come_as_parameters_or_with_spaces() -> None:
    """GET repeats the parameter, POST separates by spaces; an action that the user may not do is left out."""
    both = ["repository:a:pull", "repository:b:push,pull"]
    by_get = _client().get("/token", query_string={"service": SERVICE, "scope": both}, auth=("captain", "sesame"))
    by_post = _post(_client(), **PASSWORD, scope=" ".join(both))
    less = _post(_client(), **PASSWORD, scope="repository:app:pull,delete registry:catalog:*")
    assert [entry["name"] for entry in _access(by_get.get_json())] == ["a", "b"]
    assert _access(by_get.get_json()) == _access(by_post.get_json())
    assert by_post.get_json()["scope"] == "repository:a:pull repository:b:push,pull"
    assert (less.status_code, less.get_json()["scope"]) == (200, "repository:app:pull")


def test_a_refresh_token_is_issued_on_request_and_gives_tokens() -> None:
    """GET requests it by offline_token, POST by access_type; it then replaces the password."""
    client = _client()
    by_get = client.get("/token", query_string={**ASK, "offline_token": "true"}, auth=("captain", "sesame"))
    by_post = _post(client, **PASSWORD, access_type="offline")
    refresh = by_get.get_json()["refresh_token"]
    body = _post(client, grant_type="refresh_token", refresh_token=refresh, scope="repository:app:push").get_json()
    assert (refresh, by_post.get_json()["refresh_token"]) == ("refresh-0", "refresh-1")
    assert (body["scope"], body["refresh_token"]) == ("repository:app:push", "refresh-0")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**PASSWORD, "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
        ({**PASSWORD, "service": "another"}, "invalid_request"),
        ({**PASSWORD, "client_id": ""}, "invalid_request"),
        ({**PASSWORD, "scope": "repository:app"}, "invalid_scope"),
    ],
)
def test_a_wrong_post_is_an_oauth_error(form: dict[str, str], error: str) -> None:
    """RFC 6749 section 5.2: 400 with an error code, so that containerd falls back to GET."""
    answer = _post(_client(), **form)
    assert (answer.status_code, answer.get_json()["error"]) == (400, error)


def test_a_store_that_does_not_answer_is_503() -> None:
    """The client may try again; nothing is revealed, and nothing crashes."""
    answer = _post(_client(Store(answers=False)), **PASSWORD, access_type="offline")
    assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")


def test_the_life_of_a_token_is_configurable_from_sixty_seconds() -> None:
    """Clients treat a shorter lifetime as sixty seconds, and would use the token after its end."""
    answer = _client(TOKEN_EXPIRES_IN="60").get("/token", query_string=ASK)
    assert answer.get_json()["expires_in"] == 60
    with pytest.raises(ValueError, match="TOKEN_EXPIRES_IN is 59 s; clients expect at least 60 s"):
        settings.from_environment({"TOKEN_EXPIRES_IN": "59"})


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("repository:a/b:pull", {"name": "a/b"}),
        ("repository:host:5000/a:pull", {"name": "host:5000/a"}),
        ("registry:catalog:*", {"type": "registry", "name": "catalog", "actions": ["*"]}),
        ("repository(plugin):a:pull,pull", {"class": "plugin", "name": "a"}),
    ],
)
def test_a_scope_follows_the_grammar(text: str, claim: dict[str, Any]) -> None:
    """A name may hold a host with a port; a type may have a class; an action counts once."""
    (scope,) = scopes.parse([text])
    assert scope.claim() == {"type": "repository", "actions": ["pull"], **claim}


@pytest.mark.parametrize(
    "text", ["repository", "repository:app", "repository:app:", "Repository:app:pull", ":a:pull"]
)
def test_an_invalid_scope_is_refused(text: str) -> None:
    """A typing error is not an empty request."""
    with pytest.raises(scopes.InvalidScope, match="is not TYPE:NAME:ACTION"):
        scopes.parse([text])


def test_every_action_is_granted_only_by_a_rule_with_a_star() -> None:
    """`*` in a rule grants every action that is requested; a requested `*` needs `*` in a rule."""
    (scope,) = scopes.parse(["repository:app:pull,*"])
    granted = {rule: scopes.granted([scope], scopes.parse([f"repository:{rule}"])) for rule in RULES}
    assert [str(part) for part in granted["*:pull"]] == ["repository:app:pull"]
    assert (granted["a*:*"], granted["team/*:*"]) == ((scope,), ())


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
    """An old catalogue stays valid, and nothing is pushed twice; tags share a base layer, seeds share nothing."""
    seven, eight = MemoryRegistry(), MemoryRegistry()
    (first, tags), (second, _), _ = _seeded(7, seven), _seeded(7, seven), _seeded(8, eight)
    assert [tag["index"] for tag in tags] == [
        "sha256:4cc38faf2fa77019088509c94b2ff715f9b68a3b975c598cb4893574ac8b9f12",
        "sha256:fc6caa8695f20469ab9c035c24f79ae9e10ab581ccf32860b41b5572bf5f9e01",
    ]
    assert len(seven.digests) == 17
    assert not seven.digests & eight.digests
    counts = [(each.pushed, each.present, each.total_bytes) for each in (first, second)]
    assert counts == [(17, 0, 34302), (0, 17, 34302)]
    layers = [[platform["layers"][0] for platform in tag["platforms"]] for tag in tags]
    assert layers[0][0] == layers[1][0] != layers[0][1]


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
    """The Location is used with its own query, as the registry gave it; a refusal is one line without it."""
    upload: Answer = (202, {"Location": f"{DOOR}/v2/app/blobs/uploads/1?_state=s"}, b"")
    answers = [UNAUTHORIZED, TOKEN, MISSING, upload, *([upload] if chunked else [])]
    script, refusing = Script(*answers, (201, {}, b"")), Script(*answers, (413, {}, b"too\nlarge"))
    assert _registry(script, chunked=chunked).push_blob("app", BLOB)
    methods = ["GET", "POST", "HEAD", "POST", *(["PATCH"] if chunked else []), "PUT"]
    assert [request.method for request in script.requests] == methods
    assert (script.requests[-1].url or "").endswith(f"/v2/app/blobs/uploads/1?_state=s&digest={BLOB.digest}")
    assert script.requests[4].headers.get("Transfer-Encoding") == ("chunked" if chunked else None)
    with pytest.raises(registry.SeedError) as refused:
        _registry(refusing, chunked=chunked).push_blob("app", BLOB)
    assert str(refused.value) == "PUT /v2/app/blobs/uploads/1: 413, expected 201: too large"


def test_a_token_is_renewed_before_it_ends() -> None:
    """A long seeding does not fail because its token is old."""
    now_s = [0.0]
    present: Answer = (200, {}, b"")
    script = Script(UNAUTHORIZED, TOKEN, present, present, TOKEN, present)
    target = _registry(script, clock_s=lambda: now_s[0])
    for now_s[0] in (0.0, 269.0, 271.0):
        target.push_blob("app", BLOB)
    assert [request.method for request in script.requests] == ["GET", "POST", "HEAD", "HEAD", "POST", "HEAD"]


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ([(401, {"WWW-Authenticate": CHALLENGE.format("http://elsewhere")}, b"")], 1),
        ([UNAUTHORIZED, TOKEN, MISSING, (202, {"Location": "http://elsewhere/v2/app/1"}, b"")], 4),
    ],
    ids=["a realm", "an upload location"],
)
def test_password_and_token_go_to_no_other_host(answers: list[Answer], sent: int) -> None:
    """What points elsewhere is refused before anything is sent there."""
    script = Script(*answers)
    with pytest.raises(registry.SeedError, match="http://door:8080 only, not to elsewhere"):
        _registry(script).push_blob("app", BLOB)
    assert len(script.requests) == sent


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


@pytest.mark.parametrize("name", ["cache-in-memory.yml", "cache-none.yml"])
def test_a_registry_without_redis_differs_in_its_cache_only(name: str) -> None:
    """A change that is forgotten in one of them would be measured as an effect of the cache."""
    base, other = ((STACK / "registry" / file).read_text().splitlines() for file in ("config.yml", name))
    changed = [line for line in difflib.ndiff(base, other) if line[:2] in {"- ", "+ "}]
    assert [line.split(":")[0][2:].strip() for line in changed] == ["blobdescriptor"] * 2


@pytest.mark.parametrize(
    ("base", "other", "only"),
    [
        ("upstreams", "upstreams-closed", {"keepalive", "proxy_set_header"}),
        ("buffering", "buffering-off", {"proxy_buffering"}),
    ],
)
def test_an_nginx_file_differs_in_its_directive_only(base: str, other: str, only: set[str]) -> None:
    """The rest of nginx.conf is one file for all."""
    both = [_directives(STACK / "nginx" / f"{name}.conf") for name in (base, other)]
    assert {line.split()[0] for line in set(both[0]) ^ set(both[1])} == only


def _directives(path: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line not in {"", "}"}]
