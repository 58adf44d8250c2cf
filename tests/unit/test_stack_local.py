"""How a Compose file becomes processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from seatrial.errors import UsageError
from seatrial.model import FrontDoor, StackSpec, Variant
from seatrial.stack.local import door_port, service_folder
from seatrial.stack.local_plan import LocalService, compose_variables, dotenv, names, plan, required

PORTS = {("web", "main"): 1001, ("web", "debug"): 1002, ("db", "main"): 1003}


def spec_of(folder: Path, services: dict[str, Any], **variant: Any) -> StackSpec:  # noqa: ANN401  (a Variant's own)
    """Write a stack and return its spec; the front door is web:81."""
    (folder / "compose.yaml").write_text(yaml.safe_dump({"services": services}))
    return StackSpec(
        run_id="r1",
        project="p",
        compose_file=folder / "compose.yaml",
        variant=Variant(name="other", **variant),
        front_door=FrontDoor(service="web", port=81),
        probes=(),
        environment={"WORD": "given"},
        work=folder / "work",
        logs=folder / "logs",
        deadline_s=60,
    )


def web(**local: Any) -> dict[str, Any]:  # noqa: ANN401  (the entry's own values)
    """Return a service `web` with two ports."""
    return {"x-seatrial": {"local": {"command": ["web"], "ports": {"main": 80, "debug": 81}} | local}}


def placed(folder: Path, **local: Any) -> Path:  # noqa: ANN401  (the entry's own values)
    """Place the service `web` with a file `a.conf`, and return the copy."""
    (folder / "a.conf").write_text("listen 80; root /srv;")
    spec = spec_of(folder, {"web": web(files=["a.conf"], **local)})
    return service_folder(plan(spec)[0], spec, PORTS).config / "a.conf"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$SET ${SET} $$SET", "x x $SET"),
        ("${NONE:-a b}|${EMPTY:-b}|${EMPTY-c}|${SET:-d}", "a b|b||x"),
        ("${SET:+e}|${NONE+f}", "e|"),
        ("${NONE}", ""),
    ],
)
def test_variables_are_those_of_compose(text: str, filled: str) -> None:
    """Interpolation follows the Compose file reference."""
    assert compose_variables(text, {"SET": "x", "EMPTY": ""}) == filled


def test_required_variable_is_asked_for() -> None:
    """`${NAME:?message}` without a value is an error with that message."""
    with pytest.raises(UsageError, match="variable NONE") as failed:
        compose_variables("${NONE:?give one}", {})
    assert failed.value.hint == "give one"


def test_names_are_filled_in_either_spelling() -> None:
    """`$${name}` for Compose's sake and `${name}` are the same; other dollars belong to the file."""
    assert names("$${port} ${port} $$host $uri", {"port": "80"}, where="") == "80 80 $host $uri"


def test_unknown_name_is_an_error() -> None:
    """A name that stands for nothing is refused, with those that exist."""
    with pytest.raises(UsageError, match=r"\$\{prot\}") as failed:
        names("${prot}", {"port": "80", "data": "/d"}, where="web")
    assert failed.value.expected == "one of data, port"


def test_services_start_after_those_they_need(tmp_path: Path) -> None:
    """The order is that of `depends_on`, in either of its forms."""
    local = {"x-seatrial": {"local": {"command": ["x"]}}}
    services = {"web": web() | {"depends_on": ["app"]}, "app": local | {"depends_on": {"db": {}}}, "db": local}
    assert [one.name for one in plan(spec_of(tmp_path, services))] == ["db", "app", "web"]


def test_environment_is_the_services_own(tmp_path: Path) -> None:
    """Compose's `environment` applies, with defaults, and the variant's on top of it."""
    given = {"environment": ["A=${NONE:-a}", "B=$WORD", "WORD", "C=1"]}
    changes = {"services": {"web": {"environment": {"C": 2, "D": True}}}}
    planned = plan(spec_of(tmp_path, {"web": web() | given}, compose=changes))
    assert planned[0].environment == {"A": "a", "B": "given", "WORD": "given", "C": "2", "D": "true"}


def test_variant_that_needs_containers_is_refused(tmp_path: Path) -> None:
    """A change that the local engine would silently ignore is an error."""
    changes = {"services": {"web": {"mem_limit": "64m"}}, "networks": {}}
    with pytest.raises(UsageError, match="can't apply variant 'other'") as failed:
        plan(spec_of(tmp_path, {"web": web()}, compose=changes))
    assert failed.value.seen == "it changes networks, services.web.mem_limit"


def test_service_without_entry_is_refused(tmp_path: Path) -> None:
    """A service without a `local` entry is named."""
    with pytest.raises(UsageError, match="service 'web' has no `local` entry"):
        plan(spec_of(tmp_path, {"web": {"image": "i"}}))


def test_mistake_in_an_entry_is_named(tmp_path: Path) -> None:
    """An unknown key of `local` is an error, not ignored."""
    with pytest.raises(UsageError) as failed:
        plan(spec_of(tmp_path, {"web": web(comand=["x"])}))
    assert failed.value.seen == "comand: Extra inputs are not permitted"


def test_circle_is_named(tmp_path: Path) -> None:
    """Services that wait for each other are an error."""
    services = {"web": web() | {"depends_on": ["db"]}, "db": web() | {"depends_on": ["web"]}}
    with pytest.raises(UsageError, match="wait for each other"):
        plan(spec_of(tmp_path, services))


def test_replacements_are_made_in_a_copy(tmp_path: Path) -> None:
    """The configuration file of the stack is copied, and changed by the explicit pairs only."""
    copy = placed(tmp_path, replace={"listen 80": "listen $${port}", "/srv": "${debug.port}/${db.port}"})
    assert copy.read_text() == "listen 1001; root 1002/1003;"
    assert (tmp_path / "a.conf").read_text() == "listen 80; root /srv;"


def test_replacement_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    """A pair that has come apart from its file is named with the file and the text."""
    with pytest.raises(UsageError, match="'listen 8080' is to be replaced") as failed:
        placed(tmp_path, replace={"listen 8080": "x"})
    assert failed.value.seen == "looked in a.conf"


def test_variants_file_takes_the_place(tmp_path: Path) -> None:
    """A variant's file is what is copied and changed."""
    (tmp_path / "a.conf").write_text("old")
    (tmp_path / "b.conf").write_text("new 80")
    services = {"web": web(files=["a.conf"], replace={"80": "${port}"})}
    spec = spec_of(tmp_path, services, files={tmp_path / "a.conf": tmp_path / "b.conf"})
    assert (service_folder(plan(spec)[0], spec, PORTS).config / "a.conf").read_text() == "new 1001"


def test_front_door_is_the_port_of_that_number(tmp_path: Path) -> None:
    """The front door's number is the one inside a container, and finds the port's name."""
    spec = spec_of(tmp_path, {"web": web()})
    services: list[LocalService] = plan(spec)
    assert door_port(services, spec) == ("web", "debug")


def test_a_stack_without_a_front_door_has_none(tmp_path: Path) -> None:
    """Its services start all the same."""
    spec = replace(spec_of(tmp_path, {"web": web()}), front_door=None)
    assert door_port(plan(spec), spec) is None


def test_variables_come_from_where_compose_has_them(tmp_path: Path) -> None:
    """The run's settings come first, then our own environment, then `.env`, then the default in the file."""
    (tmp_path / ".env").write_text("WORD=file\nOURS=file\nFILE=file\n")
    words = "${WORD} ${OURS} ${FILE} ${NONE:-default}"
    spec = spec_of(tmp_path, {"web": web() | {"environment": {"WORDS": words}}})
    surroundings = {"WORD": "ours", "OURS": "ours"}
    assert plan(spec, surroundings=surroundings)[0].environment["WORDS"] == "given ours file default"


def test_env_file_is_a_plain_list(tmp_path: Path) -> None:
    """Comments, `export` and both kinds of quotes are understood; what is no entry is passed over."""
    lines = ["# no", "A=1 # one", "export B = two words", "C='#3'", 'D="4" # four', "E=", "F=a#b", "nothing"]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert dotenv(tmp_path) == {"A": "1", "B": "two words", "C": "#3", "D": "4", "E": "", "F": "a#b"}


def test_required_variables_are_found() -> None:
    """Only `${NAME:?}` and `${NAME?}` are required, and `$$` begins no variable."""
    assert required("${A:?a} ${B?} ${C:-c} $${D:?d}") == {"A", "B"}
