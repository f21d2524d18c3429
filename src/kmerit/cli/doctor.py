"""The command that checks the installation: doctor."""

# Annotations are evaluated here, for the options are read from them.
import json
from dataclasses import asdict
from textwrap import wrap
from typing import Annotated

import typer

_MARKS = {"ok": "ok      ", "note": "note    ", "warning": "warning ", "failed": "FAILED  "}
_INDENT = 28


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Check the installation: versions, device, memory, cache, bundled files. Exit code 1 if something is broken.

    Examples:
        kmerit doctor
        kmerit doctor --json
    """
    from kmerit.runs.doctor import FAILED, examine

    checks = examine()
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        for check in checks:
            head = f"{_MARKS[check.state]}{check.name}"
            print("\n".join(wrap(check.text, 110, initial_indent=head.ljust(_INDENT), subsequent_indent=" " * _INDENT)))
    if any(check.state == FAILED for check in checks):
        raise typer.Exit(1)
