"""The page of a run or an experiment: one file with the same texts as the terminal, and nothing taken for HTML."""

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
from experiments import HOSTILE_VARIANT, Truth, experiment

from seatrial import cli
from seatrial.analysis.experiment import analyse
from seatrial.analysis.results import ExperimentResult
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
    """What a page loads, its text outside of scripts, its anchors and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.text = ""
        self.styles = ""
        self.feed(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what a tag refers to."""
        values = dict(attrs)
        self.tags.append(tag)
        self.loads += [value for name in ("src", "srcset", "data", "poster") if (value := values.get(name))]
        if tag == "link":
            self.loads.append(values.get("href") or "")
        if tag == "a":
            self.targets.append(values.get("href") or "")
        if values.get("id"):
            self.ids.append(values["id"] or "")

    def handle_data(self, data: str) -> None:
        """Collect text and styles."""
        if self.tags[-1:] == ["style"]:
            self.styles += data
        else:
            self.text += data


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
    """Make the page of the run once: Bokeh needs a second for it."""
    return html.run_page(folder)


@pytest.fixture(scope="module")
def page(text: str) -> Parts:
    """Parse the page of the run."""
    return Parts(text)


def test_a_page_loads_nothing(text: str, page: Parts) -> None:
    """It is opened offline; its policy forbids the addresses that BokehJS knows (MathJax, icons)."""
    policy = re.findall(r'Content-Security-Policy"\s+content="([^"]*)"', text)

    assert page.loads == []
    assert not {"url(", "@import"} & set(re.findall(r"url\(|@import", page.styles))
    assert policy == ["default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"]


def test_links_lead_to_anchors_of_the_page(page: Parts) -> None:
    """Each anchor is there once."""
    assert {target[:1] for target in page.targets} == {"#"}
    assert {target[1:] for target in page.targets} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_the_verdict_comes_before_the_tables(page: Parts) -> None:
    """What was run, whether it is valid, and why not; then the tables of the terminal."""
    texts = (
        *("registry-pull", "INVALID", "714 requests and 150 flows in a window of 30.0 s", "not to be trusted"),
        *("first byte", "ended otherwise than ok", "unrecl.", "CPU/request", "The charts need JavaScript"),
    )
    places = [page.text.index(each) for each in texts]

    assert places == sorted(places)


def test_every_note_has_its_advice(folder: RunFolder, page: Parts) -> None:
    """Notes of the run and of its analysis."""
    notes = analyse_run(folder).notes

    assert {NoteKind.TASK_EXCEPTION, NoteKind.SHARED_CORES} <= {note.kind for note in notes}
    for note in notes:
        assert note.text in page.text
        assert ADVICE[note.kind] in page.text


def test_text_of_a_run_is_never_html(text: str, page: Parts) -> None:
    """A service, an event or a note can hold any characters."""
    assert EVIL not in text
    assert EVIL in page.text
    assert not {"b", "img"} & set(page.tags)


def test_each_service_of_the_stack_has_a_chart(page: Parts) -> None:
    """Latency above memory, in the order of the request's way."""
    names = ("latency", "rate", "memory-1", "memory-2", "memory-3", "cores", "generator", "generator-lag")

    assert [name for name in page.ids if name.startswith("chart-")] == [
        f"chart-{name}" for name in (*names, "distribution")
    ]


def test_a_run_of_schema_1_has_a_page() -> None:
    """What was sealed long ago can still be shown."""
    page = Parts(html.run_page(GOLDEN))

    assert "75 requests and 20 flows in a window of 6.00 s" in page.text
    assert "chart-latency" in page.ids


@pytest.mark.parametrize(
    "changes", [{"scenario": {}}, {"spans": (), "status": "failed"}], ids=["observed", "failed"]
)
def test_a_run_without_requests_has_a_page(tmp_path: Path, changes: dict[str, object]) -> None:
    """Memory is drawn, latency is not."""
    page = Parts(html.run_page(factories.sealed_run(tmp_path, [], [], **changes)))

    assert not {"chart-latency", "chart-distribution", "requests"} & set(page.ids)
    assert "chart-memory-1" in page.ids


def test_flows_without_requests_are_drawn_and_their_details_listed(tmp_path: Path) -> None:
    """Their rate and latency take the place of those of requests; numbers with a unit have a table."""
    flows = [factories.flow(n, n * 0.2, detail={"startup_s": 0.5 + n / 1000, "layers": 3}) for n in range(200)]
    page = Parts(html.run_page(factories.sealed_run(tmp_path, [], flows)))

    assert {"chart-latency", "chart-rate", "chart-distribution", "details"} <= set(page.ids)
    assert "requests" not in page.ids
    for text in ("150 flows in a window of 30.0 s; no failures", "Latency by flow", "startup_s"):
        assert text in page.text


def test_a_saturated_run_shows_no_latency(folder: RunFolder) -> None:
    """It grows with the length of the run."""
    run = html.shown_run(load_run(folder))
    saturated = replace(run, series=replace(run.series, has_latency=False))
    page = Parts(html.render_run(saturated, folder.experiment))

    assert not {"chart-latency", "chart-distribution"} & set(page.ids)
    assert "chart-rate" in page.ids


def test_capacities_stand_above_their_run(folder: RunFolder) -> None:
    """Each variant's result, then the run; where no trial was timed without a chart."""
    run, untimed = html.shown_run(load_run(folder)), carries("base", 100)
    untimed = replace(untimed, trials=(), lower_per_s=None, upper_per_s=None)
    text = html.render_run(run, Path("made-up"), capacities())
    page, without = Parts(text), Parts(html.render_run(run, Path("made-up"), [untimed]))
    texts = ("Capacity: made-up", "100/s keeps the budgets", "One run of it")
    places = [page.text.index(each) for each in texts]

    assert places == sorted(places)
    assert "chart-capacity" in page.ids
    assert HOSTILE in page.text
    assert HOSTILE not in text
    assert "nothing is known of its capacity" in without.text
    assert "chart-capacity" not in without.ids


def test_the_page_of_an_experiment_shows_a_run_of_each_variant(
    everything: Path, everything_result: ExperimentResult, tmp_path: Path
) -> None:
    """That with the middle value, with the health of its generator; and how many blocks are not used."""
    text = html.write_experiment(everything_result, everything, tmp_path / "page.html").read_text(encoding="utf-8")

    assert text.index("REGRESSION") < text.index("<script")
    assert 'id="chart-latency-0"' in text
    assert "runs that with the middle value of p95" in text
    assert text.count("How this run was measured") == len(everything_result.plan.variants) - 1
    assert "loop lag p99 at most" in text
    assert "Grey is outside of the window (warm-up, drain). Drag" in " ".join(text.split())
    assert "1 of 6 blocks is not used" in text
    assert HOSTILE_VARIANT not in text


def test_an_experiment_in_which_no_run_finished_has_a_page(tmp_path: Path) -> None:
    """Its reason is in the page's head, and there are no charts."""
    failed = Truth(changes={"status": "failed", "error": "the stack is not ready after 3 s", "spans": ()})
    folder = experiment(tmp_path, {"base": failed, "again": failed}, blocks=2)
    head, _, rest = html.write_experiment(analyse(folder), folder).read_text(encoding="utf-8").partition("<h2")

    assert "INVALID" in head
    assert "the base never finished: never became ready" in head
    assert "<figure" not in rest


def test_the_command_writes_the_page_beside_the_plan(folder: RunFolder, tmp_path: Path) -> None:
    """Or where --output says, and prints the path."""
    other = tmp_path / "page.html"
    for extra, path in (((), folder.experiment / "report.html"), (("--output", str(other)), other)):
        done = CliRunner().invoke(cli.seatrial, ["report", str(folder.root), *extra], standalone_mode=False)

        assert done.output.strip() == str(path)
        assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_other_commands_do_not_import_bokeh() -> None:
    """That takes a second; `seatrial run` counts its seconds from the command to the first request."""
    program = (
        "import sys, seatrial.cli as c; [c.load(name) for name in c.COMMANDS]; "
        "print('seatrial.commands.runs' in sys.modules, 'bokeh' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "True False"


def test_a_run_that_failed_before_its_load_has_a_page(tmp_path: Path) -> None:
    """It has no time to draw, and its reason is there."""
    folder = factories.run(tmp_path, [], status="failed", error="the stack fell over", spans=())
    for stream in folder.streams.glob("*"):
        stream.unlink()
    seal(folder, documents.load_document(folder))

    assert "the stack fell over" in Parts(html.run_page(folder)).text
