"""Commands, options, keys, columns, notes and exit codes are documented; links lead somewhere."""

import re
from pathlib import Path

import click
import pytest

from seatrial import cli
from seatrial.errors import SeatrialError
from seatrial.measure.ranges import RangeAnswer, RangeCase, RangeTarget, cases
from seatrial.model import DISTURBED, INVALIDATING, NoteKind
from seatrial.scenario import grammar
from seatrial.wire import streams

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _verbs(group: click.Group, prefix: str = "") -> list[tuple[str, click.Command]]:
    commands: list[tuple[str, click.Command]] = []
    for name, listed in group.commands.items():
        command = cli.load(name) if group is cli.seatrial else listed
        commands.append((f"{prefix}{name}", command))
        if isinstance(command, click.Group):
            commands += _verbs(command, f"{prefix}{name} ")
    return commands


def _classes(root: type[SeatrialError]) -> list[type[SeatrialError]]:
    return [root, *(inner for child in root.__subclasses__() for inner in _classes(child))]


@pytest.mark.parametrize("verb", [name for name, _ in _verbs(cli.seatrial)])
def test_every_verb_is_documented(verb: str) -> None:
    """Each command has a section."""
    assert f"## `seatrial {verb}" in (REFERENCE / "command-line.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("verb", "command"), _verbs(cli.seatrial))
def test_every_option_is_documented(verb: str, command: click.Command) -> None:
    """Each long option stands in the section of its verb."""
    text = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    section = text.split(f"## `seatrial {verb}")[1].split("\n## ")[0]
    options = [name for param in command.params for name in param.opts if name.startswith("--")]

    assert [name for name in options if f"`{name}" not in section and f" {name}" not in section] == []


def _keys(node: object) -> set[str]:
    """Return the name of every property in a JSON Schema."""
    if isinstance(node, dict):
        here = set(node.get("properties", ()))
        return here.union(*(_keys(inner) for inner in node.values()))
    return set()


@pytest.mark.parametrize("key", sorted(_keys(grammar.json_schema())))
def test_every_key_of_a_scenario_is_documented(key: str) -> None:
    """The grammar and its page agree."""
    assert f"`{key}" in (REFERENCE / "scenario.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "column"), [(name, column.name) for name, columns in streams.TABLES.items() for column in columns]
)
def test_every_column_is_documented(table: str, column: str) -> None:
    """The tables are the public interface; a section of its own has the columns of each."""
    section = (REFERENCE / "run-folder.md").read_text(encoding="utf-8").split(f"## `{table}`")[1].split("\n## ")[0]
    assert f"`{column}`" in section


@pytest.mark.parametrize("outcome", list(streams.Outcome))
def test_every_outcome_is_documented(outcome: str) -> None:
    """A failure's name can be looked up."""
    assert f"`{outcome}`" in (REFERENCE / "run-folder.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", list(NoteKind))
def test_every_note_is_documented_with_what_it_does(kind: NoteKind) -> None:
    """Its meaning can be looked up, and whether the run still counts."""
    invalidates = "yes" if kind in INVALIDATING else "in a comparison" if kind in DISTURBED else "no"
    assert f"| `{kind}` | {invalidates} |" in (REFERENCE / "run-folder.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", cases(RangeTarget(size=None, plain=RangeAnswer())), ids=lambda case: case.name)
def test_every_range_case_is_documented(case: RangeCase) -> None:
    """With its section, its rule and its level."""
    rows = (REFERENCE / "ranges.md").read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| `{case.name}` |")]
    assert row.endswith(f"| {case.section} | {case.force} | {case.level} |")


@pytest.mark.parametrize("error", _classes(SeatrialError))
def test_every_exit_code_is_documented(error: type[SeatrialError]) -> None:
    """A script that reads the code can look it up."""
    assert f"| {error.exit_code} |" in (REFERENCE / "command-line.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    """Relative links only; a moved page takes its links along."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []
