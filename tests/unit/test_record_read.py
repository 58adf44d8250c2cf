"""Sealed tables come back as arrays."""

from __future__ import annotations

from pathlib import Path

import factories
import pytest
from factories import Asked, at

from seatrial.errors import UsageError
from seatrial.record import read
from seatrial.wire.streams import NULL


def test_null_comes_back_as_the_sentinel(tmp_path: Path) -> None:
    """Judging works on integers: null is NULL, never a float."""
    requests = factories.requests_of(
        factories.sealed_run(tmp_path, [Asked(start_s=1, intended_s=0.5), Asked(start_s=2)])
    )
    assert requests.t_intended_ns.tolist() == [at(0.5), NULL]


def test_labels_come_back_as_codes(tmp_path: Path) -> None:
    """A coded column tells where a label stands, and how often."""
    asked = [Asked(start_s=1, endpoint="token"), Asked(start_s=2), Asked(start_s=3)]
    requests = factories.requests_of(factories.sealed_run(tmp_path, asked))
    assert requests.endpoint.is_("token").tolist() == [True, False, False]
    assert requests.endpoint.counts() == {"token": 1, "blob": 2}
    assert not requests.endpoint.is_("never heard of").any()


def test_an_empty_table_comes_back_empty(tmp_path: Path) -> None:
    """A run without requests can be read."""
    requests = factories.requests_of(factories.sealed_run(tmp_path, []))
    assert len(requests.t_start_ns) == 0
    assert requests.endpoint.counts() == {}


def test_samples_keep_service_and_container(tmp_path: Path) -> None:
    """Every service is there, with all its readings."""
    samples = read.samples(factories.sealed_run(tmp_path))
    assert samples.service.counts() == {
        "generator": 420,
        "host": 420,
        "nginx": 420,
        "registry": 420,
        "sampler": 420,
    }
    assert samples.container.counts() == {"": 1260, factories.NGINX: 420, factories.REGISTRY: 420}


def test_events_come_in_the_order_of_time_without_torn_lines(tmp_path: Path) -> None:
    """A line that was cut off, or that has no stamp, is left out."""
    folder = factories.sealed_run(tmp_path)
    folder.events.write_text(
        '{"t_ns": 2, "event": "b"}\n{"event": "x"}\n{"t_ns": 1, "event": "a"}\n{"t_ns": 3, "ev'
    )
    assert [event["event"] for event in read.events(folder)] == ["a", "b"]


def test_an_unsealed_run_is_told_how_to_recover(tmp_path: Path) -> None:
    """The hint names the command with the folder."""
    folder = factories.run(tmp_path)
    with pytest.raises(UsageError, match=r"no requests\.parquet") as raised:
        factories.requests_of(folder)
    assert raised.value.hint == f"seatrial recover {folder.root}"


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    """A table that is no Parquet is named."""
    folder = factories.sealed_run(tmp_path)
    folder.table("flows").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"flows\.parquet can't be read"):
        read.flows(folder)
