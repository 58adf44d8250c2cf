"""What a stack is made of: which files count, and how a change of one is told."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from seatrial.experiment import resume
from seatrial.model import Scenario, Variant
from seatrial.scenario import reading

SCENARIO = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
load: {locustfile: load/drive.py, users: 3}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """Make a stack of three files, and a load of two beside one of somebody else's."""
    for name, text in {
        "st/compose.yaml": "services: {web: {image: w}}\n",
        "st/nginx/nginx.conf": "listen 80;\n",
        "st/app.py": "1\n",
        "load/drive.py": "import _shared\n",
        "load/_shared.py": "2\n",
        "load/other.py": "3\n",
        "one.yaml": SCENARIO,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return reading.read(str(tmp_path / "one.yaml"))


def _of(scenario: Scenario) -> dict[str, str]:
    return resume.file_digests(scenario, results=scenario.compose_file.parent / "results")


def _put(scenario: Scenario, name: str, text: str = "?\n") -> Path:
    path = scenario.compose_file.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), "-c", "init.defaultBranch=main", *words], check=True)


def test_all_of_the_stack_counts_and_what_the_locustfile_shares(scenario: Scenario) -> None:
    """Other locustfiles beside it are other loads."""
    assert list(_of(scenario)) == [
        *("app.py", "compose.yaml", "load: _shared.py", "load: drive.py", "nginx/nginx.conf"),
    ]


def test_names_bytes_and_modes_are_told_apart(scenario: Scenario) -> None:
    """A script that can't be executed any more makes another container."""
    before = _of(scenario)
    _put(scenario, "nginx/nginx.conf", "listen 81;\n")
    (scenario.compose_file.parent / "app.py").chmod(0o700)
    _put(scenario, "new/static.html")
    (scenario.compose_file.parent.parent / "load" / "_shared.py").unlink()

    assert resume.changed_files(before, _of(scenario)) == [
        "app.py: changed",
        "load: _shared.py: gone",
        "new/static.html: new",
        "nginx/nginx.conf: changed",
    ]


def test_caches_results_and_the_tools_own_folders_do_not_count(scenario: Scenario) -> None:
    """An experiment writes into some of them itself."""
    before = _of(scenario)
    for name in ("results/plan.json", "app/__pycache__/a.pyc", "node_modules/a/b.js", ".git/HEAD"):
        _put(scenario, name)

    assert resume.changed_files(before, _of(scenario)) == []


def test_what_git_ignores_does_not_count_but_the_settings_that_compose_reads(scenario: Scenario) -> None:
    """Data that a service writes beside its stack would end every experiment; `.env` makes another one."""
    folder = scenario.compose_file.parent
    _put(scenario, ".gitignore", "data/\n.env\nlocal.conf\n")
    _put(scenario, "local.conf")
    _git(folder, "init", "-q")
    _git(folder, "add", "compose.yaml")
    variant = Variant(name="a", files={folder / "app.py": folder / "local.conf"})
    scenario = replace(scenario, variants={"a": variant})
    before = _of(scenario)
    assert {"app.py", ".gitignore", "local.conf"} <= before.keys()

    _put(scenario, "data/postgres/base")
    _put(scenario, "results/plan.json")
    _put(scenario, ".env")
    _put(scenario, "local.conf", "changed\n")

    assert resume.changed_files(before, _of(scenario)) == [".env: new", "local.conf: changed"]


def test_a_stack_that_the_checkout_around_it_ignores_is_walked(scenario: Scenario) -> None:
    """As one below a `build` folder, or in the results of something."""
    root = scenario.compose_file.parent.parent
    (root / ".gitignore").write_text("st/\n")
    _git(root, "init", "-q")

    assert "nginx/nginx.conf" in _of(scenario)


def test_of_a_large_file_size_and_time_stand_for_its_content(scenario: Scenario) -> None:
    """It is not read: there may be gigabytes of them."""
    film = _put(scenario, "film.mp4", "")
    os.truncate(film, resume.HASHED_BYTES + 1)
    before = _of(scenario)
    os.utime(film, ns=(1, 1))

    assert resume.changed_files(before, _of(scenario)) == ["film.mp4: changed"]


def test_links_and_pipes_are_not_opened(scenario: Scenario) -> None:
    """A pipe would be waited for; where a link points to is what counts."""
    folder = scenario.compose_file.parent
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("/one")
    (folder / "deep").symlink_to(folder.parent)
    before = _of(scenario)
    assert {"pipe", "link", "deep"} <= before.keys()
    (folder / "link").unlink()
    (folder / "link").symlink_to("/other")

    assert resume.changed_files(before, _of(scenario)) == ["link: changed"]


def test_of_a_whole_disk_only_what_lies_beside_the_compose_file_counts(scenario: Scenario) -> None:
    """A Compose file in a home folder does not make a stack of everything in it."""
    found = resume.file_digests(scenario, results=Path("results"), most=2)

    assert list(found) == ["app.py", "compose.yaml", "load: _shared.py", "load: drive.py"]


def test_of_many_differences_the_first_are_named() -> None:
    """The rest is counted."""
    lines = resume.changed_files({}, {f"{number:02}": "x" for number in range(30)})

    assert (lines[0], lines[-1], len(lines)) == ("00: new", "and 10 more files", 21)
