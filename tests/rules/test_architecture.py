"""The page about the architecture and its picture agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import house_picture
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")


def test_the_picture_is_that_of_the_imports() -> None:
    """`make picture` draws it again."""
    stored = house_picture.PICTURE.read_text(encoding="utf-8")
    assert stored == house_picture.drawn(), "the picture is old: make picture"


@pytest.mark.parametrize("module", sorted(set(re.findall(r"`([a-z_]+/[a-z_0-9]+\.py)`", PAGE))))
def test_every_module_on_the_page_exists(module: str) -> None:
    """A module that is renamed or merged is renamed on the page."""
    assert (ROOT / "harness" / "seatrial" / module).is_file()


def test_an_arrow_stands_only_where_no_way_leads_around() -> None:
    """A uses b and c, b uses c: the arrow from a to c follows."""
    assert house_picture.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == [("a", "b"), ("b", "c")]
