"""The recorder's limit of endpoint labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.errors import UsageError
from seatrial.user.recorder import DECLARED_LIMIT, Recorder


def test_too_many_labels_are_refused(tmp_path: Path) -> None:
    """Before the first row: a code of 16 bits would overflow in the middle of a run."""
    labels = [f"item {number}" for number in range(DECLARED_LIMIT + 1)]
    with pytest.raises(UsageError, match="more than 1000 endpoint labels") as caught:
        Recorder(tmp_path, 0, labels)
    assert caught.value.seen == "1001, such as 'item 0', 'item 1', 'item 2', 'item 3'"
    assert not list(tmp_path.iterdir())
    Recorder(tmp_path, 0, labels[1:]).close()
