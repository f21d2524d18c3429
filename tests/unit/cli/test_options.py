from __future__ import annotations

from inspect import signature
from typing import Any

import pytest

from kmerit.cli.options import from_options


def maker(left: int, right: int = 2) -> int:
    return left + right


def test_the_options_of_a_maker_become_those_of_the_verb() -> None:
    taken: dict[str, Any] = {}

    @from_options(total=maker)
    def verb(total: int, quiet: bool = False) -> None:
        """Say what it does."""
        taken.update(total=total, quiet=quiet)

    assert list(signature(verb).parameters) == ["left", "right", "quiet"]
    assert signature(verb).parameters["right"].default == 2
    assert verb.__doc__ == "Say what it does."
    verb(left=1, right=4, quiet=True)
    assert taken == {"total": 5, "quiet": True}


def test_the_first_maker_that_fails_ends_it() -> None:
    made_: list[str] = []

    def first(a: int) -> int:
        raise ZeroDivisionError

    def second(b: int) -> int:
        made_.append("second")
        return b

    @from_options(x=first, y=second)
    def verb(x: int, y: int) -> None:
        made_.append("verb")

    with pytest.raises(ZeroDivisionError):
        verb(a=1, b=2)
    assert made_ == []
