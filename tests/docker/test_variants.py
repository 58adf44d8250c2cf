"""Each variant of the registry scenarios comes up, serves a pull, and has the settings that it is named for."""

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
REPOSITORY = "seatrial/app-1"
PASSWORD = "sesame"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
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
    """The registry stack, whose variant is changed while it is up."""

    project: Project
    url: str = ""

    def become(self, variant: Variant) -> None:
        """Change the stack to a variant, and wait until it answers."""
        self.project.up({**variant.compose, **_mounts(variant)})
        if not variant.files:
            self.project.compose("restart", "--timeout", "3", "nginx")  # it looks its upstreams up at start only
        self.url = f"http://{self.project.compose('port', 'nginx', '80').strip()}"
        wait_for_success(f"{self.url}/token?service={SERVICE}")

    def seed(self) -> None:
        """Push one small image."""
        command = [sys.executable, "seed.py", "--repositories", "1", "--tags", "1", "--layers", "2"]
        environment = self.project.environment | {"SEATRIAL_FRONT_DOOR": self.url}
        subprocess.run([*command, "--layer-size", "4KiB"], cwd=STACK, env=environment, check=True, timeout=60)

    def token(self, **form: str) -> dict[str, Any]:
        """Request a token by POST."""
        scope = {"service": SERVICE, "client_id": "test", "scope": f"repository:{REPOSITORY}:pull"}
        response = requests.post(f"{self.url}/token", data=scope | form, timeout=10)
        response.raise_for_status()
        token: dict[str, Any] = response.json()
        return token

    def log_in(self) -> dict[str, Any]:
        """Request a token and a refresh token with the password."""
        return self.token(grant_type="password", username="captain", password=PASSWORD, access_type="offline")

    def renew(self, refresh_token: str, times: int) -> None:
        """Request so many tokens with a refresh token, one after the other."""
        for _ in range(times):
            self.token(grant_type="refresh_token", refresh_token=refresh_token)

    def pull(self) -> int:
        """Pull the seeded image, verify every digest, and return the number of its blobs."""
        catalogue = json.loads(Path(self.project.variables["SEATRIAL_CATALOGUE"]).read_text())
        (tag,) = catalogue["repositories"][0]["tags"]
        headers = {"Authorization": f"Bearer {self.log_in()['access_token']}", "Accept": INDEX_TYPE}
        base = f"{self.url}/v2/{REPOSITORY}"
        index = requests.get(f"{base}/manifests/{tag['tag']}", headers=headers, timeout=10)
        assert index.headers["Docker-Content-Digest"] == tag["index"]
        blobs = [blob for platform in tag["platforms"] for blob in (platform["config"], *platform["layers"])]
        for blob in blobs:
            body = requests.get(f"{base}/blobs/{blob['digest']}", headers=headers, timeout=10).content
            assert "sha256:" + hashlib.sha256(body).hexdigest() == blob["digest"]
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
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Bring the stack up once, seeded with one small image."""
    folder = tmp_path_factory.mktemp("variants")
    variables = {"REGISTRY_PASSWORD": PASSWORD, "SEATRIAL_CATALOGUE": str(folder / "catalogue.json")}
    with project(STACK / "compose.yaml", folder, **variables) as own:
        stack = Registry(own)
        stack.become(GUNICORN["base"])
        stack.seed()
        yield stack


@pytest.mark.parametrize("name", _each(GUNICORN, "base", "gevent-2", "sync-2"))
def test_a_gunicorn_variant_has_its_workers(registry: Registry, name: str) -> None:
    """As many as named, of the class named: gevent is loaded or not, and only sync closes each connection."""
    kind, _, count = ("gthread-2" if name == "base" else name).partition("-")
    registry.become(GUNICORN[name])
    workers = json.loads(registry.project.run_inside("auth", "python3", "-c", _WORKERS))

    assert registry.pull() == 6
    assert workers["gevent"] == [kind == "gevent"] * int(count)
    assert workers["connection"] == ("close" if kind == "sync" else "keep-alive")


@pytest.mark.parametrize("name", _each(NGINX, "base", "buffering-off-closed"))
def test_an_nginx_variant_buffers_and_keeps_as_named(registry: Registry, name: str) -> None:
    """Ten tokens one after the other are one connection to the token service, or ten."""
    registry.become(NGINX[name])
    refresh = registry.log_in()["refresh_token"]
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
    registry.become(REDIS[name])
    registry.redis("FLUSHALL")
    assert registry.pull() == 6
    ask = "import urllib.request as u; print(u.urlopen('http://registry:5001/metrics', timeout=5).read().decode())"
    metrics = registry.project.run_inside("auth", "python3", "-c", ask)

    assert (registry.redis("-n", "0", "DBSIZE").strip() != "0") == (name == "base")
    assert ("registry_storage_cache_total{" in metrics) == (name != "no-cache")


@pytest.mark.parametrize("name", ["base", "no-pool"])
def test_a_token_costs_a_connection_only_without_a_pool(registry: Registry, name: str) -> None:
    """Redis counts what it accepts: one for each renewal without a pool; with it at most one for each thread."""
    registry.become(REDIS[name])
    refresh = registry.log_in()["refresh_token"]
    before = registry.redis_connections()
    registry.renew(refresh, 40)
    opened = registry.redis_connections() - before - 1

    assert registry.pull() == 6
    assert opened == 40 if name == "no-pool" else opened <= 16
