"""The media stack: its signatures, addresses, permissions, deliveries, ingest and thumbnails, without a server."""

import importlib
import io
import json
import struct
import sys
from http import HTTPStatus
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "media"
sys.path.append(str(STACK))
access = importlib.import_module("studio.access")
addresses = importlib.import_module("studio.addresses")
answers = importlib.import_module("studio.answers")
app = importlib.import_module("studio.app")
assets = importlib.import_module("studio.assets")
boxes = importlib.import_module("studio.boxes")
delivery = importlib.import_module("studio.delivery")
ids = importlib.import_module("studio.ids")
keys = importlib.import_module("studio.keys")
settings = importlib.import_module("studio.settings")
signing = importlib.import_module("studio.signing")

NOW_S = 1_700_000_000.9
SECRETS = {"MEDIA_INGEST_TOKEN": "token", "MEDIA_SIGNING_KEY": "key"}
BODY = bytes(range(256)) * 4
SITE = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


class Store:
    """What Redis would hold, or a Redis that does not answer."""

    def __init__(self, *, answers: bool = True) -> None:
        self.values: dict[str, tuple[bytes, int]] = {}
        self._answers = answers

    def get(self, name: str) -> bytes | None:
        """Return a value."""
        self._check()
        return self.values.get(name, (None, 0))[0]

    def set(self, name: str, value: str, *, seconds: int) -> None:
        """Keep a value."""
        self._check()
        self.values[name] = (value.encode(), seconds)

    def _check(self) -> None:
        if not self._answers:
            raise ConnectionError("no answer")


def _services(url: str) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """Answer as `ids` and `assets` do, by their own code."""
    _scheme, _empty, host, path = url.split("/", 3)
    service = ids.create({}) if host == "ids" else assets.create({}, sleep=lambda _s: None)
    answer = service.test_client().get(f"/{path}")
    return answer.get_json() if answer.status_code == HTTPStatus.OK else None


def _client(root: Path, ask: Any = _services, **environment: str) -> FlaskClient:  # noqa: ANN401  (a function)
    own = settings.from_environment(SECRETS | {"MEDIA_ROOT": str(root)} | environment)
    rule = access.Access(root, ask, assets_url="http://assets", ids_url="http://ids")
    sends = delivery.Delivery(own.delivery, delivery.mime_types(own.mime_types))
    proxies = addresses.Proxies(["proxy"], look_up=lambda _name: "127.0.0.1")
    client: FlaskClient = app.create(own, rule, sends, proxies, now_s=lambda: NOW_S).test_client()
    return client


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with one clip."""
    (tmp_path / "clip-0.mp4").write_bytes(BODY)
    return tmp_path


def _signed(
    path: str = "/signed/clip-0.mp4", user: str = "director", expires: int = int(NOW_S), **more: str
) -> str:
    query = {"user": user, "expires": str(expires), "signature": signing.sign(path, user, expires, "key")} | more
    return "/signed/clip-0.mp4?" + "&".join(f"{name}={value}" for name, value in query.items())


def test_the_signature_is_that_of_nginx_own_documentation() -> None:
    """`echo -n '2147483647/s/link127.0.0.1 secret' | openssl md5 -binary | openssl base64`: its own example."""
    assert signing.sign("/s/link", "127.0.0.1", 2147483647, "secret") == "_e4Nc3iduzkWRm01TBBNYw"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (_signed(), 200),
        (_signed(expires=int(NOW_S) - 1), 410),
        (_signed(user="intern"), 403),
        (_signed(user="guest"), 403),
        (_signed(path="/signed/clip-1.mp4"), 403),
        (_signed(signature="AAAAAAAAAAAAAAAAAAAAAA"), 403),
        (_signed(signature=""), 403),
        (_signed(user="director", expires=int(NOW_S) - 1, signature="forged"), 403),
        (_signed(expires=int(NOW_S)).replace("user=director", "user=screening"), 403),
        (_signed().replace("expires=", "expires=0"), 403),
        (_signed(expires=10**30), 403),
        ("/signed/clip-0.mp4", 403),
    ],
)
def test_a_signed_url_opens_its_own_clip_for_its_own_user_until_it_expires(
    root: Path, url: str, status: int
) -> None:
    """The last second of its life is one of it; what was forged is not told that it has expired as well."""
    answer = _client(root).get(url, buffered=True)

    assert (answer.status_code, answer.data == BODY) == (status, status == HTTPStatus.OK)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"X-User": "editor"}, 200),
        ({"X-User": "intern"}, 403),
        ({"X-User": "guest"}, 403),
        ({"X-User": "stranger"}, 403),
        ({"X-User": "../ids"}, 403),
        ({"X-Forwarded-For": "10.1.2.3"}, 200),
        ({"X-Forwarded-For": "203.0.113.9"}, 403),
        ({"X-Forwarded-For": "10.1.2.3, 203.0.113.9"}, 403),
        ({"X-Forwarded-For": "no address"}, 403),
    ],
)
def test_a_plain_url_is_for_users_with_a_permission_on_the_site(
    root: Path, headers: dict[str, str], status: int
) -> None:
    """The proxy's own word on the address is the last one."""
    answer = _client(root).get("/media/clip-0.mp4", headers=headers, buffered=True)

    assert (answer.status_code, answer.data == BODY) == (status, status == HTTPStatus.OK)


def test_a_clip_of_another_group_is_for_its_members(root: Path) -> None:
    """`guest` is in it but has no permission; `screening` has every permission, and is not in it."""
    access.write_gid(root / "clip-0.mp4", 5001)

    for user, status in (("director", 200), ("screening", 403), ("guest", 403)):
        assert (
            _client(root).get("/media/clip-0.mp4", headers={"X-User": user}, buffered=True).status_code == status
        )


def test_what_is_not_known_is_not_allowed(root: Path) -> None:
    """A service that fails is 503 with a time to come again, and no byte of the clip."""

    def fails(url: str) -> None:
        raise answers.AskFailed(url)

    answer = _client(root, fails).get("/media/clip-0.mp4", buffered=True)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert BODY not in answer.data


@pytest.mark.parametrize("kind", ["plain", "signed"])
def test_nginx_is_told_what_the_service_itself_would_decide(root: Path, kind: str) -> None:
    """204 or 403, which auth_request passes on; of a signed request only the permission is left to be asked."""
    client = _client(root)
    query = {"user": "director"} if kind == "signed" else {}

    assert client.get(f"/authorize/{kind}/clip-0.mp4", query_string=query).status_code == 204
    refused = {"X-User": "intern"}
    assert client.get("/authorize/plain/clip-0.mp4", headers=refused).status_code == 403
    assert client.get("/authorize/signed/clip-0.mp4?user=intern").status_code == 403


def test_an_address_is_believed_from_a_proxy_only() -> None:
    """A name that is not known yet is looked up again, and at most once a second."""
    looked_up: list[str] = []
    now = [0.0]
    known: dict[str, str] = {}

    def look_up(name: str) -> str:
        looked_up.append(name)
        if name not in known:
            raise OSError("unknown")
        return known[name]

    proxies = addresses.Proxies(["nginx"], look_up=look_up, clock_s=lambda: now[0])
    assert [proxies.client("10.0.0.5", "203.0.113.9") for _ in range(3)] == ["10.0.0.5"] * 3
    known["nginx"], now[0] = "10.0.0.5", 1.5
    assert proxies.client("10.0.0.5", "192.0.2.1, 203.0.113.9") == "203.0.113.9"
    assert proxies.client("10.0.0.6", "203.0.113.9") == "10.0.0.6"
    assert len(looked_up) == 2


@pytest.mark.parametrize(
    ("address", "inside"),
    [("10.255.0.1", True), ("11.0.0.1", False), ("fd00::1", True), ("::1", False), ("", False)],
)
def test_the_site_is_its_subnets(address: str, *, inside: bool) -> None:
    """IPv4 and IPv6; what is no address is outside."""
    assert addresses.on_site(address, SITE) == inside


@pytest.mark.parametrize(("seconds", "asked"), [(0, 3), (60, 1)])
def test_an_answer_is_asked_once_or_each_time(seconds: int, asked: int) -> None:
    """A refusal is kept, too, as is `not found`."""
    for answer in ({"allowed": True}, {"allowed": False}, None):
        asks: list[str] = []
        store = Store()

        def ask(url: str, asks: list[str] = asks, answer: Any = answer) -> Any:  # noqa: ANN401
            asks.append(url)
            return answer

        kept = answers.Answers(store, ask, seconds)
        assert [kept.get("http://x/1") for _ in range(3)] == [answer] * 3
        assert len(asks) == asked
        assert [kept_s for _value, kept_s in store.values.values()] == ([seconds] if seconds else [])


def test_without_redis_the_services_are_asked() -> None:
    """A cache that is down makes requests slower, and refuses none."""
    kept = answers.Answers(Store(answers=False), lambda _url: {"allowed": True}, 60)

    assert kept.get("http://x/1") == {"allowed": True}


@pytest.mark.parametrize("kind", ["send_file", "generator"])
@pytest.mark.parametrize(
    ("wanted", "first", "last"), [("0-", 0, 1023), ("0-1", 0, 1), ("5-99", 5, 99), ("-24", 1000, 1023)]
)
def test_a_range_is_those_bytes(root: Path, kind: str, wanted: str, first: int, last: int) -> None:
    """Status, Content-Range and bytes, of Flask's own way and of the hand-written one."""
    answer = _client(root, DELIVERY=kind).get(
        "/media/clip-0.mp4", headers={"Range": f"bytes={wanted}"}, buffered=True
    )

    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"bytes {first}-{last}/1024")
    assert answer.data == BODY[first : last + 1]
    assert answer.headers["Content-Type"] == "video/mp4"


def test_a_range_past_the_end_is_416(root: Path) -> None:
    """RFC 9110 section 14.4: with the complete length."""
    answer = _client(root, DELIVERY="generator").get(
        "/media/clip-0.mp4", headers={"Range": "bytes=1024-"}, buffered=True
    )

    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */1024")


def test_a_generator_without_ranges_sends_all(root: Path) -> None:
    """200, and no length."""
    answer = _client(root, DELIVERY="whole").get(
        "/media/clip-0.mp4", headers={"Range": "bytes=0-1"}, buffered=True
    )

    assert (answer.status_code, answer.data) == (200, BODY)
    assert "Content-Length" not in answer.headers


def test_nginx_is_named_the_file_that_it_sends(root: Path) -> None:
    """No byte of it leaves the service."""
    answer = _client(root, DELIVERY="accel").get("/media/clip-0.mp4", buffered=True)

    assert (answer.headers["X-Accel-Redirect"], answer.data) == ("/protected/clip-0.mp4", b"")


def test_a_clip_that_is_not_there_is_404_for_who_may_see_it(root: Path) -> None:
    """A name that is none is refused before a file is looked for."""
    client = _client(root)

    assert client.get("/media/clip-9.mp4").status_code == 404
    for name in ("..%2fclip-0.mp4", ".clip-0.mp4", "clip-0.mp4.json", "clip-0"):
        assert client.get(f"/media/{name}").status_code in {403, 404}


def test_ingest_takes_a_whole_clip_or_nothing(tmp_path: Path) -> None:
    """201, then 204; a body that is cut short leaves what was there."""
    client = _client(tmp_path)
    headers = {"Authorization": "Bearer token", "X-Asset-Gid": "5001"}

    assert client.put("/ingest/a.mp4", data=b"one", headers=headers).status_code == 201
    assert client.put("/ingest/a.mp4", data=b"two", headers=headers).status_code == 204
    short = client.put(
        "/ingest/a.mp4",
        input_stream=io.BytesIO(b"thr"),
        headers=headers,
        environ_overrides={"CONTENT_LENGTH": "9"},
    )
    assert short.status_code == 400
    assert (tmp_path / "a.mp4").read_bytes() == b"two"
    assert access.read_gid(tmp_path / "a.mp4") == 5001
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.mp4.json"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic token", "Bearer tokentoken"])
def test_ingest_without_the_token_is_401(tmp_path: Path, header: str) -> None:
    """Nothing is written."""
    answer = _client(tmp_path).put("/ingest/a.mp4", data=b"x", headers={"Authorization": header})

    assert (answer.status_code, list(tmp_path.iterdir())) == (401, [])


def test_the_key_is_written_so_that_nginx_reads_one_word(tmp_path: Path) -> None:
    """A key that would end nginx's word is refused."""
    keys.main({"MEDIA_SIGNING_KEY": "sesame-open", "KEYS_FOLDER": str(tmp_path)})
    assert '    default "sesame-open";' in (tmp_path / "signing-key.conf").read_text(encoding="utf-8").splitlines()

    for key in ("short", 'a"; return 200; "', "$uri-and-more"):
        with pytest.raises(ValueError, match="MEDIA_SIGNING_KEY"):
            keys.main({"MEDIA_SIGNING_KEY": key, "KEYS_FOLDER": str(tmp_path)})


@pytest.mark.parametrize(
    "wrong", [{"DELIVERY": "pigeon"}, {"PERMISSION_CACHE_S": "-1"}, {"SITE_SUBNETS": "10/33"}]
)
def test_a_setting_that_makes_no_sense_ends_the_service(wrong: dict[str, str]) -> None:
    """At its start, not at the first request."""
    with pytest.raises(ValueError, match=r"."):
        settings.from_environment(SECRETS | wrong)


def test_the_permission_service_takes_its_time_and_fails_as_often_as_told() -> None:
    """Latency and failures are those of the environment."""
    slept: list[float] = []
    client = assets.create({"ASSETS_LATENCY_MS": "30", "ASSETS_FAILURE_RATIO": "0.25"}, slept.append).test_client()
    codes = [client.get("/assets/clip-0/users/editor").status_code for _ in range(400)]

    assert slept == [0.03] * 400
    assert 70 <= codes.count(503) <= 130
    assert codes.count(200) == 400 - codes.count(503)


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


@pytest.mark.parametrize("version", [0, 1])
def test_a_thumbnail_is_from_the_place_of_its_second(version: int) -> None:
    """Duration and media data are found with the index before or after them."""
    fields = (version << 24, 0, 0, 1000, 5500)
    times = struct.pack(">IQQIQ" if version else ">IIIII", *fields)
    moov, data = _box(b"moov", _box(b"mvhd", times + bytes(8))), _box(b"mdat", bytes(64))

    for file, offset in ((moov + data, len(moov) + 8), (data + moov, 8)):
        film = boxes.read_film(io.BytesIO(file), len(file))
        assert (film.duration_s, film.data_offset, film.data_bytes) == (5.5, offset, 64)


@pytest.mark.parametrize(
    "file", [b"", b"no MP4 at all, but some text", _box(b"moov", b""), _box(b"mdat", b"x" * 9)]
)
def test_what_is_no_film_has_no_thumbnail(file: bytes) -> None:
    """NotMp4, whatever the bytes are."""
    with pytest.raises(boxes.NotMp4):
        boxes.read_film(io.BytesIO(file), len(file))


def test_accounts_are_read_from_the_environment() -> None:
    """Unknown users are 404."""
    client = ids.create({"ACCOUNTS": "one:1:2,3"}).test_client()

    assert json.loads(client.get("/ids/one").data) == {"uid": 1, "gids": [2, 3]}
    assert client.get("/ids/two").status_code == 404
