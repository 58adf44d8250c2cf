"""The registry stack, as `docker compose` alone brings it up, behaves as a registry behind one front door."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from compose_project import Project, project, wait_for_success

pytestmark = pytest.mark.docker

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "registry"
SERVICE = "seatrial-registry"
LOGIN = {"service": SERVICE, "client_id": "test", "grant_type": "password", "username": "captain"}
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Running:
    """A stack that is up, and the URL of its front door."""

    project: Project
    url: str

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

    def get(self, path: str, accept: str = "*/*") -> requests.Response:
        """GET from the seeded repository with a fresh token."""
        token = self.token(scope="repository:seatrial/app-1:pull").json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        return requests.get(f"{self.url}/v2/seatrial/app-1/{path}", headers=headers, timeout=10)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Bring the stack up once, and remove all of it at the end."""
    folder = tmp_path_factory.mktemp("seed")
    variables = {"REGISTRY_PASSWORD": "sesame", "SEATRIAL_CATALOGUE": str(folder / "catalogue.json")}
    with project(STACK / "compose.yaml", folder, **variables) as own:
        own.up({})
        url = f"http://{own.compose('port', 'nginx', '80').strip()}"
        wait_for_success(f"{url}/token?service={SERVICE}")
        yield Running(own, url)


def test_the_challenge_names_the_address_that_the_client_used(stack: Running) -> None:
    """Whatever name or port leads to the front door, the token is to be had at the same place."""
    by_name = stack.url.replace("127.0.0.1", "localhost")

    for url in (stack.url, by_name):
        answer = requests.get(f"{url}/v2/", timeout=10)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == f'Bearer realm="{url}/token",service="seatrial-registry"'


def test_the_challenge_keeps_its_scope(stack: Running) -> None:
    """Only the realm is rewritten."""
    challenge = requests.get(f"{stack.url}/v2/app/tags/list", timeout=10).headers["WWW-Authenticate"]

    assert challenge.endswith('/token",service="seatrial-registry",scope="repository:app:pull"')


def test_the_registry_takes_a_token_of_either_grant(stack: Running) -> None:
    """The certificate of the signing key is what the registry trusts."""
    by_get = requests.get(f"{stack.url}/token?service={SERVICE}", auth=("captain", "sesame"), timeout=10)
    by_post = stack.token()

    for answer in (by_get, by_post):
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert requests.get(f"{stack.url}/v2/", headers=headers, timeout=10).status_code == 200


def test_a_wrong_password_is_refused(stack: Running) -> None:
    """401 by GET, and RFC 6749's 400 by POST."""
    by_get = requests.get(f"{stack.url}/token?service={SERVICE}", auth=("captain", "wrong"), timeout=10)

    assert (by_get.status_code, by_get.json()["error"]) == (401, "invalid_client")
    assert (stack.token(password="wrong").status_code, stack.token(password="").status_code) == (400, 400)


def test_a_refresh_token_survives_in_redis(stack: Running) -> None:
    """It is issued by one worker and taken by any."""
    refresh = stack.token(access_type="offline").json()["refresh_token"]

    bought = [stack.token(grant_type="refresh_token", refresh_token=refresh, password="") for _try in range(8)]
    assert [answer.status_code for answer in bought] == [200] * 8
    assert stack.token(grant_type="refresh_token", refresh_token="made-up").status_code == 400


def test_a_seeded_image_is_pulled_to_the_digest(stack: Running) -> None:
    """Index, platform manifest, configuration and layers are those of the catalogue."""
    tag = stack.seed()["repositories"][0]["tags"][0]
    platform = tag["platforms"][0]
    index = stack.get(f"manifests/{tag['tag']}", INDEX_TYPE)
    manifest = stack.get(f"manifests/{platform['manifest']}", MANIFEST_TYPE)

    assert index.headers["Docker-Content-Digest"] == tag["index"]
    assert [entry["digest"] for entry in index.json()["manifests"]] == [p["manifest"] for p in tag["platforms"]]
    assert [layer["digest"] for layer in manifest.json()["layers"]] == [
        one["digest"] for one in platform["layers"]
    ]
    for blob in (platform["config"], *platform["layers"]):
        body = stack.get(f"blobs/{blob['digest']}").content
        assert (len(body), "sha256:" + hashlib.sha256(body).hexdigest()) == (blob["size"], blob["digest"])


def test_a_second_seeding_pushes_nothing(stack: Running) -> None:
    """What the first one pushed is present, and the catalogue is the same."""
    first, second = stack.seed(), stack.seed()

    assert (second["pushed"], second["present"]) == (0, first["pushed"] + first["present"])
    assert second["repositories"] == first["repositories"]
    assert "sesame" not in stack.catalogue.read_text()


def test_layers_of_any_size_go_up_in_chunks(stack: Running) -> None:
    """Each is above nginx's default of 1 MiB, and complete: the registry checks the digest of what it takes."""
    pushed = stack.seed("--chunked", "--seed", "8", "--tags", "1", "--layers", "1", "--layer-size", "5MiB")

    assert (pushed["pushed"], pushed["present"]) == (7, 0)


def test_only_the_front_door_is_published_and_only_on_loopback(stack: Running) -> None:
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


def test_the_registry_can_not_read_the_signing_key(stack: Running) -> None:
    """It sees the certificate only; the key is the token service's own."""
    files = stack.project.run_inside("registry", "find", "/srv", "-type", "f")
    key = stack.project.run_inside("auth", "stat", "--format", "%a %U", "/srv/vault/signing.key")

    assert (files, key) == ("/srv/trust/certificate.pem\n", "600 www-data\n")


def test_the_access_log_tells_who_asked_for_what(stack: Running) -> None:
    """One JSON object for each request, with the client's name and the times of both sides."""
    requests.get(f"{stack.url}/v2/?secret=1", headers={"User-Agent": 'a "test"'}, timeout=10)
    log = stack.project.run_inside("nginx", "tail", "-n", "1", "/var/log/nginx/access.log")
    line = json.loads(log)

    assert (line["method"], line["uri"], line["status"], line["user_agent"]) == ("GET", "/v2/", 401, 'a "test"')
    assert line["bytes"] > line["body_bytes"] > 0
    assert line["request_s"] >= float(line["upstream_s"]) >= 0


def test_no_service_can_write_to_its_own_layer(stack: Running) -> None:
    """Logs, temporary files and data are on volumes or tmpfs, where the storage driver costs nothing."""
    for service in ("nginx", "registry", "auth", "redis"):
        with pytest.raises(AssertionError, match="Read-only file system"):
            stack.project.compose("exec", "-T", "--user", "root", service, "touch", "/var/lib/x")
