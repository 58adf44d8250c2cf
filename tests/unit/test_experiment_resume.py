"""Digests of the files of a stack: which files count, and which have changed."""

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
    """Make a stack of three files, and a load of two files beside another one."""
    for name, text in {
        "st/compose.yaml": "services: {web: {image: w}}\n",
        "st/nginx/nginx.conf": "listen 80;\n",
        "st/app.py": "1\n",
        "load/drive.py": "import _shared\n",
        "load/_shared.py": "2\n",
        "load/other.py": "3\n",
        "one.yaml": SCENARIO,
    }.items():
        _put(tmp_path, name, text)
    return reading.read(str(tmp_path / "one.yaml"))


def _digests(scenario: Scenario) -> dict[str, str]:
    return resume.file_digests(scenario, results=scenario.compose_file.parent / "results")


def _put(folder: Path, name: str, text: str = "?\n") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), "-c", "init.defaultBranch=main", *words], check=True)


def test_names_bytes_and_modes_of_stack_and_locustfile_count(scenario: Scenario) -> None:
    """And of modules that locustfiles share; a script that is not executable makes another container."""
    before = _digests(scenario)
    assert [*before] == ["app.py", "compose.yaml", "load: _shared.py", "load: drive.py", "nginx/nginx.conf"]
    _put(scenario.compose_file.parent, "nginx/nginx.conf", "listen 81;\n")
    (scenario.compose_file.parent / "app.py").chmod(0o700)
    _put(scenario.compose_file.parent, "new/static.html")
    (scenario.compose_file.parent.parent / "load" / "_shared.py").unlink()

    assert resume.changed_files(before, _digests(scenario)) == [
        "app.py: changed",
        "load: _shared.py: gone",
        "new/static.html: new",
        "nginx/nginx.conf: changed",
    ]


def test_caches_results_and_folders_of_tools_do_not_count(scenario: Scenario) -> None:
    """An experiment writes into some of them itself; a stack that its checkout ignores is walked all the same."""
    _git(_put(scenario.compose_file.parents[1], ".gitignore", "st/\n").parent, "init", "-q")
    before = _digests(scenario)
    assert "nginx/nginx.conf" in before
    for name in ("results/plan.json", "app/__pycache__/a.pyc", "node_modules/a/b.js", ".git/HEAD"):
        _put(scenario.compose_file.parent, name)

    assert resume.changed_files(before, _digests(scenario)) == []


def test_ignored_files_count_only_if_compose_or_a_variant_reads_them(scenario: Scenario) -> None:
    """A service may write data beside its stack."""
    folder = scenario.compose_file.parent
    _put(folder, ".gitignore", "data/\n.env\nlocal.conf\n")
    _put(folder, "local.conf")
    _git(folder, "init", "-q")
    _git(folder, "add", "compose.yaml")
    variant = Variant(name="a", files={folder / "app.py": folder / "local.conf"})
    scenario = replace(scenario, variants={"a": variant})
    before = _digests(scenario)
    assert {"app.py", ".gitignore", "local.conf"} <= before.keys()

    _put(folder, "data/postgres/base")
    _put(folder, "results/plan.json")
    _put(folder, ".env")
    _put(folder, "local.conf", "changed\n")

    assert resume.changed_files(before, _digests(scenario)) == [".env: new", "local.conf: changed"]


def test_large_files_links_and_pipes_are_not_read(scenario: Scenario) -> None:
    """Size and time of change stand for a large file, its target for a link; a pipe has no end."""
    folder = scenario.compose_file.parent
    film = _put(folder, "film.mp4", "")
    os.truncate(film, resume.HASHED_BYTES + 1)
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("/one")
    (folder / "deep").symlink_to(folder.parent)
    before = _digests(scenario)
    assert {"pipe", "link", "deep"} <= before.keys()
    os.utime(film, ns=(1, 1))
    (folder / "link").unlink()
    (folder / "link").symlink_to("/other")

    assert resume.changed_files(before, _digests(scenario)) == ["film.mp4: changed", "link: changed"]


def test_of_very_many_files_only_those_beside_the_compose_file_count(scenario: Scenario) -> None:
    """As of a Compose file in a home folder; of many differences the first are named."""
    digests = resume.file_digests(scenario, results=Path("results"), most=2)
    lines = resume.changed_files({}, {f"{number:02}": "x" for number in range(30)})

    assert list(digests) == ["app.py", "compose.yaml", "load: _shared.py", "load: drive.py"]
    assert (lines[0], lines[-1], len(lines)) == ("00: new", "and 10 more files", 21)
