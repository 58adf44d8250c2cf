"""What viewers saw, in the reports of runs and of experiments."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import experiments
import factories
import pytest
from factories import WALL_NS, Asked
from rich.console import Console

from seatrial.analysis.experiment import analyse
from seatrial.analysis.run import analyse_run
from seatrial.compare.pairing import BlockMean
from seatrial.measure import metric
from seatrial.record import documents, seal
from seatrial.record.folder import RunFolder
from seatrial.report import experience_sections, html, json_export, text
from seatrial.units import NS_PER_S

LOGS = {
    "nginx": {"file": "access.log", "origin": "upstream_bytes_received", "time": "msec", "took": "request_time"}
}


def _session(number: int) -> dict[str, Any]:
    """Return the details of a session: each fifth stalls, each tenth gives up."""
    if number % 10 == 9:
        return {"abandoned_ratio": 1, "stalls_count": 0, "stall_ratio": 0, "received_bytes": 10_000}
    stalls = int(number % 5 == 0)
    bytes_of = {"received_bytes": 3_000_000, "played_bytes": 2_000_000, "distinct_bytes": 2_700_000}
    more = {"stalled_s": stalls * 2.0, "stall_ratio": stalls * 0.1, "abandoned_ratio": 0, "waste_ratio": 1 / 3}
    return {"startup_s": 0.5 + number / 1000, "seek_s": 0.2, "stalls_count": stalls} | bytes_of | more


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Give a run with 200 sessions, 150 of them in the window, and a proxy's log."""
    results = tmp_path_factory.mktemp("results")
    flows = [factories.flow(n, n * 0.2, flow="play", detail=_session(n)) for n in range(200)]
    asked = [Asked(start_s=n * 0.1, bytes_received=1_000_000) for n in range(420)]
    made = factories.run(results, asked, flows, scenario={"tiers": factories.TIERS, "logs": LOGS})
    made.logs.mkdir(exist_ok=True)
    line = "msec={:.3f} request_time=0.01 upstream_bytes_received=1000000, 500000\n"
    lines = [line.format(WALL_NS / NS_PER_S + n * 0.1 + 0.02) for n in range(420)]
    (made.logs / "nginx-access.log").write_text("".join(lines))
    seal.seal(made, documents.load_document(made))
    return made


def _printed(folder: RunFolder) -> list[str]:
    out = io.StringIO()
    text.show_run(analyse_run(folder), Console(file=out, width=120))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_the_sections_stand_above_requests_and_memory(folder: RunFolder) -> None:
    """One row for each kind of viewer, with what it saw; then its bytes, and what the proxy fetched."""
    lines = _printed(folder)
    titles = ("Quality of experience", "Bytes of viewers", "Origin", "Requests", "Memory")
    places = [next(n for n, line in enumerate(lines) if line.startswith(title)) for title in titles]
    assert places == sorted(places)
    seen, bytes_of, origin = (lines[place + 3] for place in places[:3])
    assert seen == "play 150 624 ms 692 ms 0.2 2.00 % 200 ms 200 ms 10.0 %"
    assert bytes_of == "play 386 MiB 257 MiB 1.501 348 MiB 10.0 % 33.3 %"
    assert origin == "nginx 429 MiB 1.5 2.251"


def test_programs_get_the_same(folder: RunFolder) -> None:
    """Durations in nanoseconds, shares as fractions."""
    values = json.loads(json.dumps(json_export.run_json(analyse_run(folder))))
    (viewers,), (origin,) = values["viewers"], values["origin"]
    assert (viewers["flow"], viewers["sessions"], viewers["abandoned"]) == ("play", 150, 0.1)
    assert viewers["startup_p95_ns"] == pytest.approx(692e6, rel=0.002)
    assert viewers["received_per_played"] == pytest.approx(1.5, rel=1e-3)
    assert (origin["service"], origin["bytes"], origin["per_received"]) == ("nginx", 450e6, 1.5)


def test_the_page_draws_the_start_ups_above_memory(folder: RunFolder) -> None:
    """Points of those that played, that stalled and that gave up, on the axis of the other charts."""
    page = html.run_page(folder)
    assert page.index('id="chart-sessions"') < page.index('id="chart-memory-1"')
    for text_of in ("Start-up of viewers", "stalled later", "gave up waiting", 'id="experience"'):
        assert text_of in page


def test_a_run_without_viewers_has_none_of_it(tmp_path: Path) -> None:
    """Nor a chart."""
    plain = factories.sealed_run(tmp_path)
    assert not [line for line in _printed(plain) if line.startswith(("Quality", "Bytes of", "Origin"))]
    assert "chart-sessions" not in html.run_page(plain)


def test_an_experiment_shows_what_the_viewers_of_each_variant_saw(tmp_path: Path) -> None:
    """A row for each variant and kind of viewer, without columns that none has."""
    compared = analyse(experiments.experiment(tmp_path, blocks=3))
    play = {"p95 startup_s of play": 2e9, "mean stalls_count of play": 1.5, "stall ratio of play": 0.04}
    means = play | {"mean took_s of other": 1e9, "origin bytes per played byte": 1.1}
    parsed = {text_of: metric.parse(text_of) for text_of in means}
    level = {
        parsed[text_of].text: BlockMean(value=value, low=None, high=None, blocks=3)
        for text_of, value in means.items()
    }
    half = replace(level["origin bytes per played byte"], value=0.5)
    result = replace(
        compared,
        metrics={one.text: one for one in parsed.values()},
        levels={"base": level, "cached": {**level, "origin bytes per played byte": half}},
    )
    section = experience_sections.of_experiment(result)
    heads = [column.head for column in section.table.columns]
    assert heads == ["variant", "flow", "start-up p95", "stalls", "stalled", "origin/played"]
    assert section.table.rows == [
        ("base", "play", "2.00 s", "1.5", "4.00 %", "1.1"),
        ("cached", "play", "2.00 s", "1.5", "4.00 %", "0.5"),
    ]
    assert experience_sections.of_experiment(compared).table.rows == []
