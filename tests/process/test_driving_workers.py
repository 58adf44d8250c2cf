"""Drives of scripted children: several processes that may be lost, rates, and stable warm-ups."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from process.scripted_child import RecordingObserver, Scripted, drive_script, fast_driver, settings

from seatrial.errors import LoadFailed, UsageError
from seatrial.load.driver import drive
from seatrial.load.workers import FROM_EVENTS_TEXT
from seatrial.model import NoteKind, Phase
from seatrial.wire.rates import Rate, Stretch

TWO = """
second = Worker()
send(kind="ready", worker=0, pid=70, users=3)
second.send(kind="ready", worker=1, pid=71, users=1)
"""
DRAINED = """
stop = await_("stop")
send(kind="drained", worker=0, errors=0)
print(json.dumps(first.heard))
"""


BOTH_DRAINED = 'second.await_("stop"); second.send(kind="drained", worker=1)' + DRAINED


def _received(tmp_path: Path) -> list[dict[str, Any]]:
    """Return the messages that the first worker of the script received, in order."""
    messages: list[dict[str, Any]] = json.loads((tmp_path / "locust.log").read_text().splitlines()[-1])
    return messages


def test_the_gate_opens_once_every_process_is_ready(tmp_path: Path) -> None:
    """The first one waits for the second, which takes half a second longer."""
    script = """
send(kind="ready", worker=0, users=1)
time.sleep(0.5)
second, asked_ns = Worker(), time.monotonic_ns()
second.send(kind="ready", worker=1, users=1)
assert await_("gate")["open_ns"] > asked_ns
"""
    drive_script(tmp_path, script + BOTH_DRAINED, processes=2)


def test_a_second_process_that_never_comes_is_an_error(tmp_path: Path) -> None:
    """It counts those that were ready; the clock of this test runs fast."""
    script = 'send(kind="ready", worker=0, users=1); time.sleep(30)'
    with pytest.raises(LoadFailed, match="was not ready within 60 s") as caught:
        drive_script(tmp_path, script, driver=fast_driver(), processes=2)

    assert caught.value.seen.startswith("1 of 2 load processes were")


def test_shares_and_the_first_rate_are_sent_before_the_gate_opens(tmp_path: Path) -> None:
    """The warm-up has the first rate of the schedule, which begins with the window."""
    observer = RecordingObserver()
    rate = Rate((Stretch(10.0, 4.0, 4.0), Stretch(math.inf, 9.0, 9.0)), poisson=True)

    drive_script(tmp_path, TWO + BOTH_DRAINED, observer, processes=2, rate=rate)

    share, steady, gate, schedule, _ = _received(tmp_path)
    warmup, window, _ = observer.phases[-1]
    assert [one["kind"] for one in (share, steady, gate, schedule)] == ["share", "rate", "gate", "rate"]
    assert (share["low"], share["high"], share["from_ns"]) == (0.0, 0.75, warmup.from_ns)
    assert (steady["stretches"], steady["poisson"], steady["seed"]) == ([[None, 4.0, 4.0]], True, 5)
    assert (gate["open_ns"], gate["until_ns"]) == (warmup.from_ns, None)
    assert schedule["stretches"] == [[10.0, 4.0, 4.0], [None, 9.0, 9.0]]
    assert (schedule["from_ns"], schedule["origin_ns"]) == (window.from_ns, window.from_ns)


@pytest.mark.alone
def test_users_that_move_change_the_shares_ahead_of_time(tmp_path: Path) -> None:
    """A worker reports its users; the change holds for both from one moment on."""
    script = """
await_("gate")
second.send(kind="second", worker=1, users=3, t_ns=1)
share = await_("share")
assert share["from_ns"] > time.monotonic_ns() + 100_000_000
"""

    drive_script(tmp_path, TWO + script + BOTH_DRAINED, processes=2)

    shares = [(one["low"], one["high"]) for one in _received(tmp_path) if one["kind"] == "share"]
    assert shares == [(0.0, 0.75), (0.0, 0.5)]


def test_a_lost_process_is_noted_and_the_other_serves_all(tmp_path: Path) -> None:
    """The run goes on to its end; the note says which one was lost, and when."""
    observer = RecordingObserver()
    script = TWO + 'await_("gate"); second.close()' + DRAINED

    result = drive_script(tmp_path, script, observer, processes=2, duration_s=0.6)

    ((kind, text),) = observer.notes
    assert kind is NoteKind.WORKER_LOST
    assert text.startswith("load process 1 (pid 71) was gone 0.")
    assert text.endswith("s after the load began; 1 of 2 went on")
    assert [one["high"] for one in _received(tmp_path) if one["kind"] == "share"] == [0.75, 1.0]
    assert [span.phase for span in result.spans] == [Phase.WARMUP, Phase.WINDOW, Phase.DRAIN]


def test_without_any_process_the_load_has_failed(tmp_path: Path) -> None:
    """Even if Locust's master lives on."""
    script = TWO + 'await_("gate"); second.close(); first.close(); time.sleep(30)'
    with pytest.raises(LoadFailed, match="processes are gone") as caught:
        drive_script(tmp_path, script, processes=2, duration_s=20)

    assert "1 (pid 71)" in caught.value.seen


def test_a_lost_master_is_noted_while_the_workers_go_on(tmp_path: Path) -> None:
    """Its workers are processes with a socket each; the end of the run waits until they have drained."""
    fork = "over, leave = os.pipe()\nif os.fork():\n    os.read(over, 1)\n    os._exit(3)\n"
    observer = RecordingObserver()

    drive_script(
        tmp_path, fork + TWO + 'await_("gate"); os.write(leave, b"x"); ' + BOTH_DRAINED, observer, processes=2
    )

    ((kind, text),) = observer.notes
    assert kind is NoteKind.WORKER_LOST
    assert text.startswith("Locust's master ended with exit code 3")


def test_a_refusal_ends_the_child_at_once(tmp_path: Path) -> None:
    """Its master would wait for ever."""
    spawn = Scripted('send(kind="refused", worker=0, what="no tag", exit_code=2); time.sleep(30)')

    with pytest.raises(UsageError, match="refuses its options") as caught:
        drive(settings(tmp_path, processes=2), RecordingObserver(), spawn=spawn)

    assert caught.value.seen == "no tag"
    assert spawn.children[0].returncode == -15


def test_records_made_from_locusts_events_are_noted(tmp_path: Path) -> None:
    """A locustfile that was not written for Seatrial leaves columns empty."""
    observer = RecordingObserver()
    script = 'send(kind="ready", worker=0, source="locust events")' + DRAINED

    drive_script(tmp_path, script, observer)

    assert observer.notes == [(NoteKind.LOCUST_EVENTS, FROM_EVENTS_TEXT)]


def test_users_that_can_not_follow_a_rate_are_refused(tmp_path: Path) -> None:
    """They have their own waits."""
    script = 'send(kind="ready", worker=0, source="locust events"); time.sleep(30)'
    rate = Rate((Stretch(math.inf, 9.0, 9.0),))

    with pytest.raises(UsageError, match="can't follow a rate"):
        drive_script(tmp_path, script, rate=rate)


SECONDS = """
send(kind="ready", worker=0)
begun_ns = await_("gate")["open_ns"]
for second in range(1, {count}):
    send(kind="second", t_ns=begun_ns + second * 10**9, users=2, latency={{"x": {{str({bucket}): 9}}}})
"""


def test_a_stable_latency_opens_the_window(tmp_path: Path) -> None:
    """Ten even seconds are reported at once; the spans are the actual ones, not the planned ones."""
    observer = RecordingObserver()
    script = SECONDS.format(count=12, bucket="1000") + DRAINED

    result = drive_script(tmp_path, script, observer, stable=True, warmup_s=60.0)

    assert result.warmup is not None
    assert (result.warmup.stable, len(result.warmup.medians_ns), observer.notes) == (True, 2, [])
    planned, known = observer.phases[0][0], result.spans[0]
    assert planned.until_ns - planned.from_ns == 60_000_000_000
    assert known.until_ns - known.from_ns == round(result.warmup.after_s * 1e9) < 20_000_000_000


@pytest.mark.alone
def test_a_warm_up_that_never_becomes_stable_ends_at_its_limit(tmp_path: Path) -> None:
    """With a note; the window has its length."""
    observer = RecordingObserver()
    script = SECONDS.format(count=12, bucket="1000 + 20 * second") + DRAINED

    result = drive_script(tmp_path, script, observer, stable=True, warmup_s=1.0)

    assert result.warmup is not None
    assert (result.warmup.stable, [kind for kind, _ in observer.notes]) == (False, [NoteKind.WARMUP_UNSTABLE])
    assert 0.9 < result.warmup.after_s <= 1.0
    assert result.spans[1].until_ns - result.spans[1].from_ns == 300_000_000
