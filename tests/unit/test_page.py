"""The page: all of it in one file, everything said in words, nothing of a run taken for HTML."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import factories
import pytest
from click.testing import CliRunner
from comparisons import HOSTILE, capacities, carries

from seatrial import cli
from seatrial.analysis.run import analyse_run, load_run
from seatrial.model import Note, NoteKind
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.report import html
from seatrial.report.run_sections import ADVICE

GOLDEN = RunFolder(Path(__file__).parents[1] / "golden" / "run-v1")
EVIL = "<b>auth</b></script><img src=x>"


class Parts(HTMLParser):
    """What a page refers to, what it says outside of scripts, its anchors and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.said = ""
        self.styles = ""
        self.feed(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        told = dict(attrs)
        self.tags.append(tag)
        self.loads += [value for name in ("src", "srcset", "data", "poster") if (value := told.get(name))]
        if tag == "link":
            self.loads.append(told.get("href") or "")
        if tag == "a":
            self.targets.append(told.get("href") or "")
        if told.get("id"):
            self.ids.append(told["id"] or "")

    def handle_data(self, data: str) -> None:
        """Keep what is said, and how it is drawn."""
        if self.tags[-1:] == ["style"]:
            self.styles += data
        else:
            self.said += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Make a run with a hostile service, an invalidating note, and a container that was killed."""
    run = factories.run(tmp_path_factory.mktemp("results"))
    factories.write_samples(run.streams, "auth", factories.readings(), container="c" * 64)
    path = next(run.streams.glob("samples-auth-*.bin"))
    head, _, body = path.read_bytes().partition(b"\n")
    layout = json.loads(head)
    layout["constants"]["service"] = EVIL
    path.write_bytes(json.dumps(layout).encode() + b"\n" + body)
    event = {"t_ns": factories.at(20), "service": EVIL, "event": "oom", "detail": {"why": EVIL}}
    run.events.write_text(json.dumps(event) + "\n")
    notes = (
        Note(kind=NoteKind.TASK_EXCEPTION, text=f"in {EVIL}"),
        Note(kind=NoteKind.SHARED_CORES, text="2 cores"),
    )
    document = replace(documents.load_document(run), notes=notes)
    documents.save_document(run, document)
    seal(run, document)
    return run


@pytest.fixture(scope="module")
def text(folder: RunFolder) -> str:
    """Make the page once: Bokeh needs a second for it."""
    return html.run_page(folder)


@pytest.fixture(scope="module")
def found(text: str) -> Parts:
    """Take the page apart."""
    return Parts(text)


def test_a_page_loads_nothing(found: Parts) -> None:
    """It is opened offline, from a mail or a CI artefact: no source, no style, no font from anywhere."""
    assert found.loads == []
    assert "url(" not in found.styles
    assert "@import" not in found.styles
    assert [target for target in found.targets if not target.startswith("#")] == []


def test_a_browser_is_told_to_load_nothing(text: str) -> None:
    """BokehJS knows addresses (MathJax, icons); the page's own policy forbids every one of them."""
    policy = re.findall(r'Content-Security-Policy"\s+content="([^"]*)"', text)

    assert policy == ["default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"]


def test_links_within_a_page_lead_somewhere(found: Parts) -> None:
    """The skip link and the navigation; and no anchor twice."""
    assert {target[1:] for target in found.targets} <= set(found.ids)
    assert len(set(found.ids)) == len(found.ids)


def test_the_verdict_comes_first(found: Parts) -> None:
    """Before any table: what was run, whether it can be trusted, and why not."""
    order = [found.said.index(words) for words in ("registry-pull", "INVALID", "not to be trusted", "endpoint")]

    assert order == sorted(order)


def test_every_note_appears_with_its_mend(folder: RunFolder, found: Parts) -> None:
    """Those of the run and those that judging adds."""
    notes = analyse_run(folder).notes

    assert {NoteKind.TASK_EXCEPTION, NoteKind.SHARED_CORES} <= {note.kind for note in notes}
    for note in notes:
        assert note.text in found.said
        assert ADVICE[note.kind] in found.said


def test_text_of_a_run_is_never_html(text: str, found: Parts) -> None:
    """A service, an event or a note can hold any characters; they are shown as they are."""
    assert EVIL not in text
    assert EVIL in found.said
    assert not {"b", "img"} & set(found.tags)


def test_the_tables_say_what_the_terminal_says(found: Parts) -> None:
    """The same functions make both."""
    said = found.said

    assert "714 requests and 150 flows in a window of 30.0 s" in said
    for head in ("first byte", "unrecl.", "CPU/request", "ended otherwise than ok"):
        assert head in said


def test_each_service_of_the_stack_has_its_chart(found: Parts) -> None:
    """Latency above memory, in the order of the request's way; what watches has none."""
    names = [name for name in found.ids if name.startswith("chart-")]

    assert names == [
        "chart-latency",
        "chart-rate",
        "chart-memory-1",
        "chart-memory-2",
        "chart-memory-3",
        "chart-cores",
        "chart-generator",
        "chart-generator-lag",
        "chart-distribution",
    ]


def test_a_page_without_script_says_so(found: Parts) -> None:
    """Words and tables stay; only the charts are missing."""
    assert "The charts need JavaScript" in found.said


def test_a_run_of_schema_1_makes_a_page() -> None:
    """What was sealed long ago can still be looked at."""
    found = Parts(html.run_page(GOLDEN))

    assert "75 requests and 20 flows in a window of 6.00 s" in found.said
    assert "chart-latency" in found.ids


def test_a_run_without_requests_makes_a_page(tmp_path: Path) -> None:
    """A run that was only observed has memory and no latency."""
    folder = factories.sealed_run(tmp_path, [], [], scenario={})
    found = Parts(html.run_page(folder))

    assert not {"chart-latency", "chart-distribution", "requests"} & set(found.ids)
    assert "chart-memory-1" in found.ids


def test_flows_without_requests_are_drawn_and_their_details_listed(tmp_path: Path) -> None:
    """Their rate and latency stand where those of requests would; numbers with a unit have a table."""
    flows = [factories.flow(n, n * 0.2, detail={"startup_s": 0.5 + n / 1000, "layers": 3}) for n in range(200)]
    found = Parts(html.run_page(factories.sealed_run(tmp_path, [], flows)))

    assert {"chart-latency", "chart-rate", "chart-distribution", "details"} <= set(found.ids)
    assert "requests" not in found.ids
    assert "150 flows in a window of 30.0 s; no failures" in found.said
    assert "Latency by flow" in found.said
    assert "startup_s" in found.said


def test_a_saturated_run_shows_no_latency(folder: RunFolder) -> None:
    """Arrivals that pile up wait as long as the run lasts: a chart of that says nothing of the server."""
    whole = html.shown_run(load_run(folder))
    found = Parts(
        html.render_run(replace(whole, series=replace(whole.series, has_latency=False)), folder.experiment)
    )

    assert not {"chart-latency", "chart-distribution"} & set(found.ids)
    assert "chart-rate" in found.ids


def test_capacities_stand_above_their_run(folder: RunFolder) -> None:
    """What each variant carries, then the run; hostile names stay text."""
    text = html.render_run(html.shown_run(load_run(folder)), Path("made-up"), capacities())
    found = Parts(text)
    order = [
        found.said.index(words) for words in ("Capacity: made-up", "100/s keeps the budgets", "One run of it")
    ]

    assert order == sorted(order)
    assert "chart-capacity" in found.ids
    assert HOSTILE in found.said
    assert HOSTILE not in text


def test_a_search_in_which_nothing_was_timed_has_no_empty_chart(folder: RunFolder) -> None:
    """The words stay."""
    nothing = replace(carries("base", 100), trials=(), lower_per_s=None, upper_per_s=None)
    found = Parts(html.render_run(html.shown_run(load_run(folder)), Path("made-up"), [nothing]))

    assert "nothing is known of its capacity" in found.said
    assert "chart-capacity" not in found.ids


def test_the_verb_writes_the_page_beside_the_plan(folder: RunFolder, tmp_path: Path) -> None:
    """`seatrial report RUN` tells where it lies; --output puts it elsewhere."""
    other = tmp_path / "page.html"
    for extra, expected in (((), folder.experiment / "report.html"), (("--output", str(other)), other)):
        told = CliRunner().invoke(cli.seatrial, ["report", str(folder.root), *extra], standalone_mode=False)
        assert told.output.strip() == str(expected)
        assert expected.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_other_verbs_do_not_wait_for_the_charts() -> None:
    """Importing Bokeh takes a second; `seatrial run` counts its seconds from the command to the first request."""
    program = (
        "import sys, seatrial.cli as c; [c.load(name) for name in c.COMMANDS]; "
        "print('seatrial.commands.runs' in sys.modules, 'bokeh' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert told.stdout.strip() == "True False"
