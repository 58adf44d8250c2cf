"""Reading sealed tables as arrays, and the phase of a row by its stamp and the spans in run.json."""

from __future__ import annotations

from pathlib import Path

import factories
import numpy as np
import pytest
from factories import SPANS, Asked, at

from seatrial.errors import UsageError
from seatrial.model import Phase, Span
from seatrial.record import read
from seatrial.record.tables import PHASES, phase_codes
from seatrial.wire.streams import NULL


def test_labels_are_codes_and_null_is_a_number(tmp_path: Path) -> None:
    """A column of labels has the rows of each, and how many; stamps stay integers; a run may have no requests."""
    made = [Asked(start_s=1, endpoint="token", intended_s=0.5), Asked(start_s=2), Asked(start_s=3)]
    requests = factories.requests_of(factories.sealed_run(tmp_path, made))
    assert requests.t_intended_ns.tolist() == [at(0.5), NULL, NULL]
    assert requests.endpoint.is_("token").tolist() == [True, False, False]
    assert requests.endpoint.counts() == {"token": 1, "blob": 2}
    assert not requests.endpoint.is_("unknown").any()
    none = factories.requests_of(factories.sealed_run(tmp_path, []))
    assert (len(none.t_start_ns), none.endpoint.counts()) == (0, {})


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


TWO_WINDOWS = tuple(Span(phase=Phase.WINDOW, from_ns=at(s), until_ns=at(s + 1)) for s in (0, 5))


@pytest.mark.parametrize(
    ("seconds", "spans", "phases"),
    [
        ([9.999, 10, 39.999, 40], SPANS, ["warmup", "window", "window", "drain"]),
        ([-1, 99], SPANS, ["warmup", "drain"]),
        ([0.5, 3, 5.5], TWO_WINDOWS, ["window", "idle", "window"]),
        ([0.5, 3], (), ["warmup", "warmup"]),
    ],
    ids=["a span has its first nanosecond, not its last", "outside of all spans", "between two", "without spans"],
)
def test_a_stamp_has_one_phase(seconds: list[float], spans: tuple[Span, ...], phases: list[str]) -> None:
    """Before the first span is warm-up, after the last is drain, between two is idle."""
    codes = phase_codes(np.array([at(second) for second in seconds], dtype=np.int64), spans)
    assert [PHASES[code] for code in codes] == phases
