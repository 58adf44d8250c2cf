"""How a Compose file becomes a plan of processes, with their ports, folders and files."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from specs import stack_spec

from seatrial.errors import UsageError
from seatrial.model import FrontDoor, StackSpec, Variant
from seatrial.stack.local import door_port, service_folder
from seatrial.stack.local_plan import compose_variables, dotenv, names, plan, required

PORTS = {("web", "main"): 1001, ("web", "debug"): 1002, ("db", "main"): 1003}
DOOR = FrontDoor(service="web", port=81)


def spec_of(
    folder: Path,
    services: dict[str, Any],
    door: FrontDoor | None = DOOR,
    **variant: Any,  # noqa: ANN401  (a Variant's own)
) -> StackSpec:
    """Write a stack and return its spec."""
    (folder / "compose.yaml").write_text(yaml.safe_dump({"services": services}))
    environment, changed = {"WORD": "given"}, Variant(name="other", **variant)
    return stack_spec(folder / "compose.yaml", folder, variant=changed, front_door=door, environment=environment)


def web(**local: Any) -> dict[str, Any]:  # noqa: ANN401  (the entry's own values)
    """Return a service `web` with two ports."""
    return {"x-seatrial": {"local": {"command": ["web"], "ports": {"main": 80, "debug": 81}} | local}}


def placed(folder: Path, replaced: str = "a.conf", **local: Any) -> str:  # noqa: ANN401  (the entry's own values)
    """Place the service `web` with the file `a.conf`, or what replaces it; return the text of the copy."""
    (folder / "a.conf").write_text("listen 80; root /srv;")
    (folder / "b.conf").write_text("80")
    spec = spec_of(folder, {"web": web(files=["a.conf"], **local)}, files={folder / "a.conf": folder / replaced})
    return (service_folder(plan(spec)[0], spec, PORTS).config / "a.conf").read_text()


def test_variables_are_those_of_compose() -> None:
    """Interpolation follows the Compose file reference; the message of a required variable is the hint."""
    text = "$SET ${SET} $$SET|${NONE:-a b}|${EMPTY:-b}|${EMPTY-c}|${SET:-d}|${SET:+e}|${NONE+f}|${NONE}"
    assert compose_variables(text, {"SET": "x", "EMPTY": ""}) == "x x $SET|a b|b||x|e||"
    assert required("${A:?a} ${B?} ${C:-c} $${D:?d}") == {"A", "B"}
    with pytest.raises(UsageError, match="variable NONE") as failed:
        compose_variables("${NONE:?give one}", {})
    assert failed.value.hint == "give one"


def test_the_environment_is_that_of_compose(tmp_path: Path) -> None:
    """Variables are the run's, this process's, those of `.env`, then defaults; the variant's values come last."""
    (tmp_path / ".env").write_text("WORD=file\nOURS=file\nFILE=file\n")
    given = {"environment": ["A=${WORD} ${OURS} ${FILE} ${NONE:-default}", "WORD", "C=1"]}
    changes = {"services": {"web": {"environment": {"C": 2, "D": True}}}}
    spec = spec_of(tmp_path, {"web": web() | given}, compose=changes)
    environment = plan(spec, surroundings={"WORD": "ours", "OURS": "ours"})[0].environment
    assert environment == {"A": "given ours file default", "WORD": "given", "C": "2", "D": "true"}


def test_services_start_after_those_they_need(tmp_path: Path) -> None:
    """The order is that of `depends_on`, in either of its forms."""
    local = {"x-seatrial": {"local": {"command": ["x"]}}}
    services = {"web": web() | {"depends_on": ["app"]}, "app": local | {"depends_on": {"db": {}}}, "db": local}
    assert [one.name for one in plan(spec_of(tmp_path, services))] == ["db", "app", "web"]


def test_replacements_are_made_in_a_copy(tmp_path: Path) -> None:
    """The file of the stack, or the variant's in its place, is copied and changed by the pairs only."""
    copy = placed(tmp_path, replace={"listen 80": "listen $${port}", "/srv": "${debug.port}/${db.port}"})
    assert copy == "listen 1001; root 1002/1003;"
    assert (tmp_path / "a.conf").read_text() == "listen 80; root /srv;"
    assert placed(tmp_path, "b.conf", replace={"80": "${port}"}) == "1001"


def test_env_file_is_a_plain_list(tmp_path: Path) -> None:
    """Comments, `export` and both kinds of quotes are understood; what is no entry is passed over."""
    lines = ["# no", "A=1 # one", "export B = two words", "C='#3'", 'D="4" # four', "E=", "F=a#b", "nothing"]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert dotenv(tmp_path) == {"A": "1", "B": "two words", "C": "#3", "D": "4", "E": "", "F": "a#b"}


def test_names_are_filled_in_either_spelling() -> None:
    """`$${name}`, which Compose leaves alone, and `${name}` are the same; an unknown name is an error."""
    assert names("$${port} ${port} $$host $uri", {"port": "80"}, where="") == "80 80 $host $uri"
    with pytest.raises(UsageError, match=r"\$\{prot\}") as failed:
        names("${prot}", {"port": "80", "data": "/d"}, where="web")
    assert failed.value.expected == "one of data, port"


@pytest.mark.parametrize(
    ("services", "changes", "what", "seen"),
    [
        ({"web": {"image": "i"}}, {}, "service 'web' has no `local` entry", ""),
        ({"web": web(comand=["x"])}, {}, "wrong `local` entry", "comand: Extra inputs are not permitted"),
        (
            {"web": web() | {"depends_on": ["db"]}, "db": web() | {"depends_on": ["web"]}},
            {},
            "services wait for each other",
            "db -> web -> db",
        ),
        (
            {"web": web()},
            {"services": {"web": {"mem_limit": "64m"}}, "networks": {}},
            "can't apply variant 'other'",
            "it changes networks, services.web.mem_limit",
        ),
        ({"db": web()}, {}, "no service 'web' for the front door", ""),
    ],
    ids=["no entry", "a wrong key", "a circle", "a change that needs containers", "no front door"],
)
def test_a_stack_that_can_not_run_without_containers_is_refused(
    tmp_path: Path, services: dict[str, Any], changes: dict[str, Any], what: str, seen: str
) -> None:
    """The error names the entry; the local engine ignores nothing silently."""
    with pytest.raises(UsageError, match=what) as failed:
        plan(spec_of(tmp_path, services, compose=changes))
    assert failed.value.seen == seen


def test_a_replacement_without_its_text_is_an_error(tmp_path: Path) -> None:
    """The error has the text and the files."""
    with pytest.raises(UsageError, match="'listen 8080' is to be replaced") as failed:
        placed(tmp_path, replace={"listen 8080": "x"})
    assert failed.value.seen == "looked in a.conf"


@pytest.mark.parametrize(("door", "port"), [(DOOR, ("web", "debug")), (None, None)])
def test_the_front_door_is_the_port_of_that_number(
    tmp_path: Path, door: FrontDoor | None, port: tuple[str, str] | None
) -> None:
    """The number is the one inside a container; a stack without a front door starts all the same."""
    spec = spec_of(tmp_path, {"web": web()}, door)
    assert door_port(plan(spec), spec) == port
