"""A run is recovered only when its owner is known to be dead."""

from dataclasses import replace
from pathlib import Path

import pytest
from factories import run

from seatrial.errors import UsageError
from seatrial.experiment import maintenance
from seatrial.record import documents
from seatrial.stack.cleanup import this_owner

ME = this_owner()


def test_private_files_of_a_dead_run_are_removed(tmp_path: Path) -> None:
    """What a killed run had in its private folder goes when it is recovered."""
    folder = run(tmp_path, status="running", owner=str(replace(ME, start_ticks=1)))
    (folder.root / "work").mkdir()
    (folder.root / "work/secret.yaml").touch()
    maintenance.recover(folder)
    assert not (folder.root / "work").exists()
    assert documents.load_document(folder).status == "recovered"


@pytest.mark.parametrize(
    ("owner", "what"),
    [
        (str(ME), "the run is still running"),
        (str(replace(ME, pid_namespace="1")), "it is unknown whether"),
        (str(replace(ME, boot="another", machine="another")), "it is unknown whether"),
        ("42:1:boot", "it is unknown whether"),
    ],
    ids=["lives", "another namespace", "another machine", "not readable"],
)
def test_run_that_may_go_on_is_left_alone(tmp_path: Path, owner: str, what: str) -> None:
    """A living owner, and one of another host, container or version: refused, and nothing is touched."""
    folder = run(tmp_path, status="running", owner=owner)
    (folder.root / "work").mkdir()
    with pytest.raises(UsageError, match=what):
        maintenance.recover(folder)
    assert (folder.root / "work").exists()
