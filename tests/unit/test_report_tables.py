"""Which columns the tables of the report have, at which width."""

from __future__ import annotations

import io
from pathlib import Path

import factories
import pytest
from factories import MIB
from rich.console import Console

from seatrial.analysis.run import analyse_run
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.report import text


def _printed(folder: RunFolder, width: int = 100) -> str:
    stream = io.StringIO()
    text.show_run(analyse_run(folder), Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("width", "endpoint_heads", "flow_heads"),
    [
        (
            80,
            "endpoint count p50 p95 p99 max first byte per s",
            "flow count failed p50 p95 p99 max requests per s",
        ),
        (
            100,
            "endpoint count failed p50 p95 p99 max first byte per s MB/s",
            "flow count failed p50 p95 p99 max requests per s MB/s",
        ),
    ],
)
def test_rates_are_shown_at_every_width(tmp_path: Path, width: int, endpoint_heads: str, flow_heads: str) -> None:
    """Per second always, MB/s where there is room; failures also stand among the outcomes."""
    lines = [" ".join(line.split()) for line in _printed(factories.sealed_run(tmp_path), width).splitlines()]
    assert endpoint_heads in lines
    assert flow_heads in lines


@pytest.mark.parametrize(("swapped", "shown"), [(0, False), (MIB, True)])
def test_swap_is_shown_where_there_is_some(tmp_path: Path, swapped: int, shown: bool) -> None:  # noqa: FBT001  (a parameter of the table above)
    """Most machines use none, and the column costs width."""
    folder = factories.run(tmp_path)
    readings = [{**reading, "swap_bytes": swapped} for reading in factories.readings()]
    factories.write_samples(folder.streams, "nginx", readings, container=factories.NGINX)
    seal(folder, documents.load_document(folder))
    heads = next(line.split() for line in _printed(folder, 80).splitlines() if "unrecl." in line and "MiB" in line)
    assert ("swap" in heads) is shown


def test_a_service_without_a_place_stays_plain(tmp_path: Path) -> None:
    """The place stands in brackets behind the name where the scenario gives one."""
    folder = factories.run(tmp_path, scenario={"tiers": {"nginx": "proxy"}})
    seal(folder, documents.load_document(folder))
    starts = [line.split("  ")[1] for line in _printed(folder).splitlines() if "  start  " in line]
    assert starts == ["nginx (proxy)", "registry"]
