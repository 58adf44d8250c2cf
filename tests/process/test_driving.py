"""One drive over the real socket, of a scripted child that can fail in each way."""

import os
import time
from pathlib import Path

import pytest
from process.scripted_child import OBEDIENT, RecordingObserver, Scripted, drive_script, fast_driver, settings

from seatrial.errors import LoadFailed, ResultsUnwritable, UsageError
from seatrial.load.driver import LoadObserver, drive
from seatrial.model import Phase, Span
from seatrial.wire.control import PLAN_VARIABLE


def test_the_phases_follow_each_other_and_the_child_ends_when_asked(tmp_path: Path) -> None:
    """Phases are reported as soon as they are known; the stop comes over the socket, so that flows can drain."""
    spawn, observer = Scripted(OBEDIENT), RecordingObserver()

    result = drive(settings(tmp_path), observer, spawn=spawn)

    warmup, window, drain = result.spans
    assert (warmup.phase, window.phase, drain.phase) == (Phase.WARMUP, Phase.WINDOW, Phase.DRAIN)
    assert warmup.until_ns - warmup.from_ns == 200_000_000
    assert (window.from_ns, window.until_ns - window.from_ns) == (warmup.until_ns, 300_000_000)
    assert drain.from_ns == window.until_ns
    planned, done = observer.phases
    assert planned[:2] == done[:2]
    assert (tmp_path / "locust.log").read_text() == "drain 0.1\n"
    assert spawn.children[0].returncode == 0
    assert [second.completed for _, second in observer.seconds] == [5]
    assert result.errors == 4  # the highest total of all messages


@pytest.mark.parametrize(
    "script",
    ["sys.exit('no such option')", "send(kind='ready'); sys.exit('no such option')"],
    ids=["start", "window"],
)
def test_a_child_that_ends_by_itself_fails_the_load_with_its_last_lines(tmp_path: Path, script: str) -> None:
    """A typing mistake in the locustfile is in the message, not only in a log."""
    with pytest.raises(LoadFailed, match="ended by itself with exit code 1") as caught:
        drive_script(tmp_path, script)

    assert caught.value.seen == "no such option"


@pytest.mark.parametrize(
    "ending",
    ["sys.exit(0)", "os.kill(os.getpid(), 9)", "send(kind='drained'); sys.exit(1)"],
    ids=["silent", "killed", "1"],
)
def test_a_child_that_dies_in_the_drain_fails_the_load(tmp_path: Path, ending: str) -> None:
    """Records may be lost unless it has reported that nothing is in flight."""
    with pytest.raises(LoadFailed, match="ended in the drain"):
        drive_script(tmp_path, "send(kind='ready'); await_('stop'); " + ending)


def test_a_locustfile_that_refuses_its_options_is_a_mistake_of_usage(tmp_path: Path) -> None:
    """Exit code 2 before it was ready; a refusal with a hint gets no other one about options."""
    with pytest.raises(UsageError, match="refuses its options") as caught:
        drive_script(tmp_path, "print('no tag'); sys.exit(2)")
    assert caught.value.seen == "no tag"

    refusal = "the locustfile has more than 200 request names\\n  hint:     name them"
    script = f'send(kind="refused", worker=0, what="{refusal}", exit_code=2); time.sleep(30)'

    with pytest.raises(UsageError, match="can't be driven") as caught:
        drive_script(tmp_path, script)

    assert (caught.value.seen, caught.value.hint) == (refusal.replace("\\n", "\n"), "")


def test_the_log_of_the_load_holds_no_secret(tmp_path: Path) -> None:
    """URLs that a locustfile prints are masked at the end, and in an error at once."""
    script = "print('GET http://me:TOPSECRET@host/?page=1&token=TOPSECRET done'); " + "sys.exit(7)"

    with pytest.raises(LoadFailed) as caught:
        drive_script(tmp_path, script)

    assert caught.value.seen == "GET http://host/?page=1&token=... done"
    assert settings(tmp_path).log.read_text().strip() == caught.value.seen


def test_records_that_can_not_be_written_end_the_drive_at_once(tmp_path: Path) -> None:
    """A window of an hour on a full disk would measure nothing."""
    script = "send(kind='ready'); send(kind='error', what='No space left', fatal=True); await_('stop')"

    with pytest.raises(ResultsUnwritable) as caught:
        drive_script(tmp_path, script)

    assert caught.value.seen == "No space left"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("time.sleep(30)", "was not ready within 60 s"),
        ("send(kind='ready'); await_('stop'); time.sleep(30)", "did not end after it was asked to"),
    ],
    ids=["never ready", "never ends"],
)
def test_a_child_that_does_not_answer_is_given_up(tmp_path: Path, script: str, message: str) -> None:
    """The clock of this test runs fast."""
    with pytest.raises(LoadFailed, match=message):
        drive_script(tmp_path, script, driver=fast_driver())


def test_an_interrupt_lets_the_child_write_what_is_in_flight(tmp_path: Path) -> None:
    """It gets a stop without time to drain before it is killed."""

    class Interrupting(LoadObserver):
        def phases_known(self, _spans: tuple[Span, ...]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive_script(tmp_path, OBEDIENT, Interrupting())

    assert (tmp_path / "locust.log").read_text() == "drain 0\n"


@pytest.mark.parametrize(("phase", "least_ns"), [(Phase.WARMUP, 0), (Phase.WINDOW, 200_000_000)])
def test_an_observer_that_has_had_enough_ends_the_load(tmp_path: Path, phase: Phase, least_ns: int) -> None:
    """It drains as at its planned end, and the phases have their actual lengths."""

    class Stopping(RecordingObserver):
        def enough(self) -> bool:
            window = self.phases[0][1]
            return phase is Phase.WARMUP or time.monotonic_ns() > window.from_ns + least_ns

    result = drive_script(tmp_path, OBEDIENT, Stopping(), duration_s=20.0)
    warmup, window, drain = result.spans

    assert (tmp_path / "locust.log").read_text() == "drain 0.1\n"
    assert (warmup.until_ns, window.until_ns) == (window.from_ns, drain.from_ns)
    assert least_ns <= window.until_ns - window.from_ns < least_ns + 10_000_000_000


def test_the_environment_of_this_process_is_passed_on(tmp_path: Path) -> None:
    """PATH and proxies belong to the machine; only Locust's own settings are left out."""
    script = (
        f"print(os.environ['WORD'], os.environ['PATH'] == {os.environ['PATH']!r}, {PLAN_VARIABLE!r} in os.environ)"
    )

    drive_script(tmp_path, script + OBEDIENT)

    assert (tmp_path / "locust.log").read_text().startswith("w True True")
