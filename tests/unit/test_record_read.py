"""Reading sealed tables as arrays."""

from __future__ import annotations

from pathlib import Path

import factories
import pytest
from factories import Asked, at

from seatrial.errors import UsageError
from seatrial.record import read
from seatrial.wire.streams import NULL


def test_labels_are_codes_and_null_is_a_number(tmp_path: Path) -> None:
    """A column of labels has the rows of each, and how many; stamps stay integers."""
    made = [Asked(start_s=1, endpoint="token", intended_s=0.5), Asked(start_s=2), Asked(start_s=3)]
    requests = factories.requests_of(factories.sealed_run(tmp_path, made))
    assert requests.t_intended_ns.tolist() == [at(0.5), NULL, NULL]
    assert requests.endpoint.is_("token").tolist() == [True, False, False]
    assert requests.endpoint.counts() == {"token": 1, "blob": 2}
    assert not requests.endpoint.is_("unknown").any()


def test_a_run_without_requests_can_be_read(tmp_path: Path) -> None:
    """Its columns are empty."""
    requests = factories.requests_of(factories.sealed_run(tmp_path, []))
    assert len(requests.t_start_ns) == 0
    assert requests.endpoint.counts() == {}


def test_samples_keep_service_and_container(tmp_path: Path) -> None:
    """Every service is there, with all its readings."""
    samples = read.samples(factories.sealed_run(tmp_path))
    names = ("generator", "host", "nginx", "registry", "sampler")
    assert samples.service.counts() == dict.fromkeys(names, 420)
    assert samples.container.counts() == {"": 1260, factories.NGINX: 420, factories.REGISTRY: 420}


def test_events_come_in_the_order_of_time_without_torn_lines(tmp_path: Path) -> None:
    """A line that was cut off, or that has no stamp, is left out."""
    folder = factories.sealed_run(tmp_path)
    folder.events.write_text(
        '{"t_ns": 2, "event": "b"}\n{"event": "x"}\n{"t_ns": 1, "event": "a"}\n{"t_ns": 3, "ev'
    )
    assert [event["event"] for event in read.events(folder)] == ["a", "b"]


def test_a_missing_or_damaged_table_is_named(tmp_path: Path) -> None:
    """The hint for a run that was not sealed is the command with its folder."""
    folder = factories.run(tmp_path)
    with pytest.raises(UsageError, match=r"no requests\.parquet") as raised:
        factories.requests_of(folder)
    assert raised.value.hint == f"seatrial recover {folder.root}"
    folder.table("flows").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"flows\.parquet can't be read"):
        read.flows(folder)
