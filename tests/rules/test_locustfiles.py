"""Rules for locustfiles that follow from how Locust loads them; import-linter does not check these files."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "locustfiles").glob("*.py"))
LOADED = [path for path in FILES if not path.name.startswith("_")]
PURE = [path for path in FILES if path.name.startswith("_")]


def _imports(path: Path) -> list[tuple[str, int, bool]]:
    """Return (module, relative level, whether at module level) of every import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(alias.name, 0, node in tree.body) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.module or "", node.level, node in tree.body))
    return imports


def test_there_are_locustfiles() -> None:
    """The rules below would hold for an empty folder too."""
    assert LOADED
    assert PURE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_user_media_and_errors_are_imported_from_the_package(path: Path) -> None:
    """A locustfile runs in Locust's process, where nothing else of the harness belongs."""
    own = [name for name, _, _ in _imports(path) if name.split(".")[0] == "seatrial"]

    assert all(name.split(".")[1:2] in (["user"], ["media"], ["errors"]) for name in own)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_are_bare_and_at_module_level(path: Path) -> None:
    """Locust runs the file as a top-level module and takes its folder from sys.path afterwards."""
    assert [
        name for name, level, top in _imports(path) if level or not top or name.startswith("locustfiles")
    ] == []


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.name)
def test_protocol_modules_are_pure(path: Path) -> None:
    """No Locust, no gevent, no input or output: they are tested in microseconds."""
    banned = {"locust", "gevent", "requests", "socket", "seatrial", "http", "urllib3", "docker"}
    imported = [name for name, _, _ in _imports(path) if not name.startswith("seatrial.media.")]  # pure itself

    assert {name.split(".")[0] for name in imported} & banned == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_locustfile_shadows_an_installed_package(path: Path) -> None:
    """Its folder comes first on sys.path: a `redis.py` here would replace redis for every package."""
    spec = importlib.util.find_spec(path.stem)

    assert spec is None or (spec.origin is not None and Path(spec.origin) == path)
