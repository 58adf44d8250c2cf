"""What `--record` keeps of a command line, and where it records."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.errors import UsageError
from seatrial.user.standalone import claim, option_names, without_secrets


def test_only_the_names_of_options_are_kept() -> None:
    """A value may be a password."""
    words = ["-f", "x.py", "-Hhttp://me:word@host", "--password=word", "--user", "me"]
    assert option_names(words) == ["-f", "-H", "--password", "--user"]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://me:word@host:80/v2/?key=1", "http://host:80/v2/"),
        ("http://[bad", "http://[bad"),
        ("http://me:word@[bad", "[bad"),
        ("http://me:wo/rd@host", "host"),
        ("me:word@host:80", "host:80"),
        ("localhost", "localhost"),
        ("", ""),
    ],
)
def test_a_host_is_kept_without_secrets(url: str, kept: str) -> None:
    """Also where it is no URL: it is written down before that is checked."""
    assert without_secrets(url) == kept


def test_a_file_is_no_folder_for_records(tmp_path: Path) -> None:
    """A usage error, with a name that is free."""
    file = tmp_path / "there"
    file.touch()
    with pytest.raises(UsageError, match=f"--record {file}-2"):
        claim(file)
