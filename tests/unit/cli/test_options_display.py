from __future__ import annotations

import io
import logging

import pytest

from kmerit.cli.options import DISPLAY, Display, _plain


def test_a_plain_line_a_minute() -> None:
    clock = iter([0.0, 30.0, 61.0, 100.0, 119.0, 122.0])
    stream = io.StringIO()
    progress = _plain("scoring", stream, lambda: next(clock))
    for result in (10, 20, 30, 35, 40):
        progress(result, 100)
    assert stream.getvalue() == "scoring: 20 of 100, about 4 min left\nscoring: 40 of 100, about 3 min left\n"


def test_short_steps_stay_silent_outside_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Display().watch("scoring") as progress:
        progress(1, 1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("quiet", "rank"), [(True, "0"), (False, "1")])
def test_nobody_speaks_but_the_first_process_if_not_quiet(
    quiet: bool, rank: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr("kmerit.cli.options.PLAIN_SECONDS", 0.0)
    with Display(quiet=quiet).watch("scoring") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("RANK", "0")
    with Display().watch("scoring") as progress:
        progress(1, 2)
    assert capsys.readouterr().err.startswith("scoring: 1 of 2")


def test_a_message_is_shown_once_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        DISPLAY.listen()
        for file in ("a.csv", "b.csv", "a.csv"):
            logging.getLogger("kmerit.io").warning("%s: read", file)
    assert capsys.readouterr().err == "a.csv: read\nb.csv: read\n" * 2
