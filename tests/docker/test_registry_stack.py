"""The registry stack, brought up by `docker compose` alone: a registry behind one front door, and its variants."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from compose_project import Project, project, wait_for_success

from seatrial.model import Variant
from seatrial.scenario import reading

pytestmark = pytest.mark.docker

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "registry"
SERVICE = "seatrial-registry"
LOGIN = {"service": SERVICE, "client_id": "test", "grant_type": "password", "username": "captain"}
PULL = "repository:seatrial/app-1:pull"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
GUNICORN = reading.read("registry-gunicorn").variants
NGINX = reading.read("registry-nginx").variants
REDIS = reading.read("registry-redis").variants

_WORKERS = """
import glob, http.client, json
gevent = []
for status in glob.glob("/proc/[0-9]*/status"):
    if "PPid:\\t1\\n" in open(status).read():
        with open(status.replace("status", "maps")) as maps:
            gevent.append("/gevent/" in maps.read())
service = http.client.HTTPConnection("127.0.0.1", 8000, timeout=5)
service.request("GET", "/token?service=seatrial-registry")
print(json.dumps({"gevent": gevent, "connection": service.getresponse().headers["Connection"]}))
"""


def _each(variants: Collection[str], *short: str) -> list[Any]:
    """Return the names of variants; all but the given ones are long tests."""
    return [pytest.param(name, marks=() if name in short else pytest.mark.long) for name in sorted(variants)]


@dataclass
class Registry:
    """The registry stack, whose variant is changed while it is up, and the URL of its front door."""

    project: Project
    url: str = ""

    def up(self, variant: Variant | None = None) -> None:
        """Start the stack, or change it to a variant, and wait until it answers."""
        self.project.up({**variant.compose, **_mounts(variant)} if variant else {})
        if variant and not variant.files:
            self.project.compose("restart", "--timeout", "3", "nginx")  # it looks its upstreams up at start only
        self.url = f"http://{self.project.compose('port', 'nginx', '80').strip()}"
        wait_for_success(f"{self.url}/token?service={SERVICE}")

    def seed(self, *words: str) -> dict[str, Any]:
        """Seed, and return the catalogue."""
        shape = ["--repositories", "1", "--layers", "1-3", "--layer-size", "2KiB-1MiB", *words]
        environment = self.project.environment | {"SEATRIAL_FRONT_DOOR": self.url}
        subprocess.run([sys.executable, "seed.py", *shape], cwd=STACK, env=environment, check=True, timeout=60)
        catalogue: dict[str, Any] = json.loads(self.catalogue.read_text())
        return catalogue

    @property
    def catalogue(self) -> Path:
        """Where seeding writes the catalogue."""
        return Path(self.project.variables["SEATRIAL_CATALOGUE"])

    def token(self, **form: str) -> requests.Response:
        """Request a token by POST."""
        return requests.post(f"{self.url}/token", data=LOGIN | {"password": "sesame"} | form, timeout=10)

    def refresh_token(self) -> str:
        """Log in for longer."""
        return str(self.token(access_type="offline", scope=PULL).json()["refresh_token"])

    def renew(self, refresh: str, times: int = 1) -> None:
        """Request so many tokens with a refresh token, one after the other."""
        for _ in range(times):
            answer = self.token(grant_type="refresh_token", refresh_token=refresh, password="", scope=PULL)
            assert answer.status_code == 200

    def get(self, path: str, accept: str = "*/*") -> requests.Response:
        """GET from the seeded repository with a fresh token."""
        headers = {"Authorization": f"Bearer {self.token(scope=PULL).json()['access_token']}", "Accept": accept}
        return requests.get(f"{self.url}/v2/seatrial/app-1/{path}", headers=headers, timeout=10)

    def pull(self) -> int:
        """Pull the seeded image, verify every digest and size, and return the number of its blobs."""
        tag = json.loads(self.catalogue.read_text())["repositories"][0]["tags"][0]
        index = self.get(f"manifests/{tag['tag']}", INDEX_TYPE)
        assert index.headers["Docker-Content-Digest"] == tag["index"]
        assert [entry["digest"] for entry in index.json()["manifests"]] == [
            p["manifest"] for p in tag["platforms"]
        ]
        blobs = []
        for platform in tag["platforms"]:
            manifest = self.get(f"manifests/{platform['manifest']}", MANIFEST_TYPE).json()
            assert [one["digest"] for one in manifest["layers"]] == [one["digest"] for one in platform["layers"]]
            blobs += [platform["config"], *platform["layers"]]
        for blob in blobs:
            body = self.get(f"blobs/{blob['digest']}").content
            assert (len(body), "sha256:" + hashlib.sha256(body).hexdigest()) == (blob["size"], blob["digest"])
        return len(blobs)

    def redis(self, *words: str) -> str:
        """Run a command of Redis."""
        return self.project.run_inside("redis", "redis-cli", *words)

    def redis_connections(self) -> int:
        """Return how many connections Redis has accepted; each of the test's own commands is one of them."""
        lines = self.redis("INFO", "stats").splitlines()
        stats = dict(line.split(":", 1) for line in lines if ":" in line)
        return int(stats["total_connections_received"])


def _mounts(variant: Variant) -> dict[str, Any]:
    """Return the override that mounts a variant's files in the place of those that they replace."""
    if not variant.files:
        return {}
    services = yaml.safe_load((STACK / "compose.yaml").read_text(encoding="utf-8"))["services"]
    replaced: dict[str, Any] = {}
    for old, new in variant.files.items():
        for name, service in services.items():
            for mount in service.get("volumes", ()):
                source, target, *_ = mount.split(":")
                if STACK / source == old:
                    replaced.setdefault(name, {"volumes": []})["volumes"].append(f"{new}:{target}:ro")
    return {"services": replaced}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Bring the stack up once, and remove all of it at the end."""
    folder = tmp_path_factory.mktemp("seed")
    variables = {"REGISTRY_PASSWORD": "sesame", "SEATRIAL_CATALOGUE": str(folder / "catalogue.json")}
    with project(STACK / "compose.yaml", folder, **variables) as own:
        registry = Registry(own)
        registry.up()
        yield registry


@pytest.fixture(scope="module")
def registry(stack: Registry) -> Registry:
    """Seed one small image, which every variant has to serve."""
    stack.seed("--tags", "1", "--layers", "2", "--layer-size", "4KiB")
    return stack


def test_the_challenge_names_the_address_that_the_client_used(stack: Registry) -> None:
    """Whatever name or port leads to the front door, the token is to be had there; only the realm is rewritten."""
    for url in (stack.url, stack.url.replace("127.0.0.1", "localhost")):
        answer = requests.get(f"{url}/v2/", timeout=10)
        challenge = f'Bearer realm="{url}/token",service="seatrial-registry"'
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, challenge)
        scoped = requests.get(f"{url}/v2/app/tags/list", timeout=10).headers["WWW-Authenticate"]
        assert scoped == f'{challenge},scope="repository:app:pull"'


def test_a_token_of_either_grant_needs_the_password(stack: Registry) -> None:
    """The registry trusts the certificate of the signing key; refused is 401 by GET, RFC 6749's 400 by POST."""

    def by_get(password: str) -> requests.Response:
        return requests.get(f"{stack.url}/token?service={SERVICE}", auth=("captain", password), timeout=10)

    for answer in (by_get("sesame"), stack.token()):
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert requests.get(f"{stack.url}/v2/", headers=headers, timeout=10).status_code == 200
    refused = by_get("wrong")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert (stack.token(password="wrong").status_code, stack.token(password="").status_code) == (400, 400)


def test_a_refresh_token_survives_in_redis(stack: Registry) -> None:
    """It is issued by one worker and taken by any."""
    stack.renew(stack.refresh_token(), 8)

    assert stack.token(grant_type="refresh_token", refresh_token="made-up").status_code == 400


def test_a_seeded_image_is_pulled_to_the_digest(stack: Registry) -> None:
    """Index, platform manifest, configuration and layers are those of the catalogue."""
    assert stack.seed()["repositories"]
    assert stack.pull() >= 2


def test_a_second_seeding_pushes_nothing(stack: Registry) -> None:
    """What the first one pushed is present, and the catalogue is the same."""
    first, second = stack.seed(), stack.seed()

    assert (second["pushed"], second["present"]) == (0, first["pushed"] + first["present"])
    assert second["repositories"] == first["repositories"]
    assert "sesame" not in stack.catalogue.read_text()


def test_layers_of_any_size_go_up_in_chunks(stack: Registry) -> None:
    """Each is above nginx's default of 1 MiB, and complete: the registry checks the digest of what it takes."""
    pushed = stack.seed("--chunked", "--seed", "8", "--tags", "1", "--layers", "1", "--layer-size", "5MiB")

    assert (pushed["pushed"], pushed["present"]) == (7, 0)


def test_only_the_front_door_is_published_and_only_on_loopback(stack: Registry) -> None:
    """The registry's debug address, with its metrics, answers inside the network alone."""
    services = [json.loads(line) for line in stack.project.compose("ps", "--format", "json").splitlines()]
    published = {
        (one["Service"], port["URL"], port["TargetPort"])
        for one in services
        for port in one["Publishers"] or ()
        if port["PublishedPort"]
    }
    fetch = "import urllib.request as u; print(u.urlopen('http://registry:5001/metrics', timeout=5).status)"

    assert published == {("nginx", "127.0.0.1", 80)}
    assert stack.project.run_inside("auth", "python3", "-c", fetch) == "200\n"
    assert requests.get(f"{stack.url}/metrics", timeout=10).status_code == 404


def test_the_registry_can_not_read_the_signing_key(stack: Registry) -> None:
    """It sees the certificate only; the key is the token service's own."""
    files = stack.project.run_inside("registry", "find", "/srv", "-type", "f")
    key = stack.project.run_inside("auth", "stat", "--format", "%a %U", "/srv/vault/signing.key")

    assert (files, key) == ("/srv/trust/certificate.pem\n", "600 www-data\n")


def test_the_access_log_tells_who_asked_for_what(stack: Registry) -> None:
    """One JSON object for each request, with the client's name and the times of both sides."""
    requests.get(f"{stack.url}/v2/?secret=1", headers={"User-Agent": 'a "test"'}, timeout=10)
    log = stack.project.run_inside("nginx", "tail", "-n", "1", "/var/log/nginx/access.log")
    line = json.loads(log)

    assert (line["method"], line["uri"], line["status"], line["user_agent"]) == ("GET", "/v2/", 401, 'a "test"')
    assert line["bytes"] > line["body_bytes"] > 0
    assert line["request_s"] >= float(line["upstream_s"]) >= 0


def test_no_service_can_write_to_its_own_layer(stack: Registry) -> None:
    """Logs, temporary files and data are on volumes or tmpfs, where the storage driver costs nothing."""
    for service in ("nginx", "registry", "auth", "redis"):
        with pytest.raises(AssertionError, match="Read-only file system"):
            stack.project.compose("exec", "-T", "--user", "root", service, "touch", "/var/lib/x")


@pytest.mark.parametrize("name", _each(GUNICORN, "base", "gevent-2", "sync-2"))
def test_a_gunicorn_variant_has_its_workers(registry: Registry, name: str) -> None:
    """As many as named, of the class named: gevent is loaded or not, and only sync closes each connection."""
    kind, _, count = ("gthread-2" if name == "base" else name).partition("-")
    registry.up(GUNICORN[name])
    workers = json.loads(registry.project.run_inside("auth", "python3", "-c", _WORKERS))

    assert registry.pull() == 6
    assert workers["gevent"] == [kind == "gevent"] * int(count)
    assert workers["connection"] == ("close" if kind == "sync" else "keep-alive")


@pytest.mark.parametrize("name", _each(NGINX, "base", "buffering-off-closed"))
def test_an_nginx_variant_buffers_and_keeps_as_named(registry: Registry, name: str) -> None:
    """Ten tokens one after the other are one connection to the token service, or ten."""
    registry.up(NGINX[name])
    refresh = registry.refresh_token()
    before = registry.project.accepted_connections("auth")
    registry.renew(refresh, 10)
    opened = registry.project.accepted_connections("auth") - before

    assert registry.pull() == 6
    configured = registry.project.run_inside("nginx", "nginx", "-T")
    assert f"proxy_buffering {'off' if name.startswith('buffering-off') else 'on'};" in configured
    # two workers of nginx, each with connections of its own
    assert opened == 10 if name.endswith("closed") else opened <= 2


@pytest.mark.parametrize("name", ["base", "in-memory", "no-cache"])
def test_descriptors_are_cached_where_the_variant_names(registry: Registry, name: str) -> None:
    """In Redis, in the registry (which then counts its look-ups), or nowhere."""
    registry.up(REDIS[name])
    registry.redis("FLUSHALL")
    assert registry.pull() == 6
    ask = "import urllib.request as u; print(u.urlopen('http://registry:5001/metrics', timeout=5).read().decode())"
    metrics = registry.project.run_inside("auth", "python3", "-c", ask)

    assert (registry.redis("-n", "0", "DBSIZE").strip() != "0") == (name == "base")
    assert ("registry_storage_cache_total{" in metrics) == (name != "no-cache")


@pytest.mark.parametrize("name", ["base", "no-pool"])
def test_a_token_costs_a_connection_only_without_a_pool(registry: Registry, name: str) -> None:
    """Redis counts what it accepts: one for each renewal without a pool; with it at most one for each thread."""
    registry.up(REDIS[name])
    refresh = registry.refresh_token()
    before = registry.redis_connections()
    registry.renew(refresh, 40)
    opened = registry.redis_connections() - before - 1

    assert registry.pull() == 6
    assert opened == 40 if name == "no-pool" else opened <= 16
