"""Rules that hold for every module of the harness: names, docstrings, sizes, words."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "harness" / "seatrial"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 600
MOST_CHARACTERS = 115
BANNED = re.compile(r"\b(nobody|somebody|whoever|everybody)\b", re.IGNORECASE)


def test_a_public_class_has_a_name_of_its_own() -> None:
    """The name alone says which class is meant, in documents, messages and searches."""
    modules = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(str(path.relative_to(PACKAGE)))

    assert {name: places for name, places in modules.items() if len(places) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_has_one_line_that_describes_it_and_a_readable_size(path: Path) -> None:
    """Lists of modules show that line."""
    text = path.read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]

    assert first.endswith(".")
    assert len(first) <= MOST_CHARACTERS
    assert text.count("\n") <= MOST_LINES


def test_no_sentence_has_an_unknown_person_as_its_subject() -> None:
    """Docstrings, comments and messages name what acts: the process, the user, the caller."""
    files = [*MODULES, *sorted((ROOT / "locustfiles").rglob("*.py"))]
    lines = {path: path.read_text(encoding="utf-8").splitlines() for path in files}

    assert [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(lines[path], start=1)
        if BANNED.search(line)
    ] == []
