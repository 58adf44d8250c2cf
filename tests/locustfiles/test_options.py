"""Options of the media locustfiles: environment variables, and numbers that can't be."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

import pytest

from _options import Option, declare, wrong_number

OPTIONS: tuple[Option, ...] = (("url", "", "a path"), ("begin-within", 0.0, "seconds"), ("drags", 5, "how many"))


class Parser(ArgumentParser):
    """Keeps the environment variables, which Locust's own parser takes."""

    variables: tuple[str, ...] = ()

    def add_argument(self, *words: str, **fields: Any) -> Any:  # noqa: ANN401  (argparse's own)
        """Take one off."""
        if "env_var" in fields:
            self.variables += (fields.pop("env_var"),)
        return super().add_argument(*words, **fields)


def _parsed(*words: str) -> Namespace:
    parser = Parser()
    declare(parser, OPTIONS)
    assert parser.variables == ("LOCUST_MEDIA_URL", "LOCUST_MEDIA_BEGIN_WITHIN", "LOCUST_MEDIA_DRAGS")
    return parser.parse_args(words)


def test_options_have_the_type_of_their_default() -> None:
    """Left out, they have the default."""
    parsed = _parsed("--media-drags", "7")
    assert (parsed.media_url, parsed.media_begin_within, parsed.media_drags) == ("", 0.0, 7)
    assert wrong_number(parsed, OPTIONS) is None


@pytest.mark.parametrize(
    ("word", "value", "seen"),
    [
        ("--media-begin-within", "-0.1", "-0.1"),
        ("--media-begin-within", "nan", "nan"),
        ("--media-begin-within", "inf", "inf"),
        ("--media-drags", "-1", "-1"),
    ],
)
def test_a_number_that_can_not_be_is_named(word: str, value: str, seen: str) -> None:
    """Below 0, without a bound, or none."""
    assert wrong_number(_parsed(f"{word}={value}"), OPTIONS) == (word, seen)
