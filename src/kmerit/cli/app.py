"""Entry point of the command line: the commands, and the display of errors."""

from __future__ import annotations

import os
import re
import shlex
import sys
import traceback
import warnings
from inspect import cleandoc
from textwrap import wrap
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from kmerit import __version__
from kmerit.cli import effects, interpreting, running, scoring, showing, studying
from kmerit.cli.options import DISPLAY, Verb, with_common_options
from kmerit.errors import KmeritError, WithheldWarning

_WIDTH = 74
"""Columns of an example, on a terminal of 80."""
_TIE = "\0"
"""Stands between an option and its value while lines are folded."""

_SUMMARY = """
Which nucleotides does a genomic language model use, and can you trust the method that says so?

Example, on models and sequences that come with kmerit:
    kmerit run bundled:demo --out results/demo

On your own data: kmerit predict, attribute and trial take your model and your sequences.
"""

_PLOT = """
Draw figures for a paper: curve, logo, heatmap, heads.

Example:
    kmerit plot curve --run results/demo --task epdnew_nontata --out figure
"""


class Commands(TyperGroup):
    """All commands. After Ctrl-C a line says how to resume; there is no traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb.

        Raises:
            typer.Exit: 130 after Ctrl-C.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            DISPLAY.write(f"Stopped; no file is incomplete. To resume: kmerit {shlex.join(sys.argv[1:])}")
            raise typer.Exit(130) from error


class Command(TyperCommand):
    """A verb whose help shows square brackets: typer takes them for markup, and swallows ``kmerit[logo]``'s."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        parts: tuple[Any, ...] = (self, *self.params)
        for part in parts:
            if part.help:
                part.help = re.sub(r"\[(?=[a-z#/@])", r"\\[", part.help)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command, and keep of typer's errors what is wrong: it puts ``Value error,`` before.

        Raises:
            typer.BadParameter: A word that an option or argument does not take.
        """
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Leave out of the usage line what is hidden: arguments that are refused with a remedy."""
        visible_parameters = (part for part in self.get_params(ctx) if not getattr(part, "hidden", False))
        return [
            self.options_metavar or "",
            *(piece for part in visible_parameters for piece in part.get_usage_pieces(ctx)),
        ]


def _help(text: str) -> str:
    """Keep the commands of an example apart, which the help would otherwise run together."""
    parts = cleandoc(text).split("\n\n")
    return "\n\n".join(f"\b\n{_folded(part)}" if part.startswith("Example") else part for part in parts)


def _folded(example: str) -> str:
    """Fold commands that are too long for a terminal as a shell takes them, with a backslash."""
    lines = re.sub(r" \\\n +", " ", example).split("\n")
    joined_lines = (re.sub(r"( --[a-z-]+) (?=[^-\s])", r"\1" + _TIE, line) for line in lines)
    folds = (wrap(line, _WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False) for line in joined_lines)
    return "\n".join(" \\\n".join(fold) for fold in folds).replace(_TIE, " ")


def _add(verb: Verb, to: typer.Typer, name: str | None = None, bare: bool = False) -> None:
    """Make a function a verb; a bare one needs no arguments."""
    decorate = to.command(name, cls=Command, no_args_is_help=not bare, help=_help(verb.__doc__ or ""))
    decorate(with_common_options(verb))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    running.run,
    running.work,
    running.workflow,
    running.trial,
    running.report,
    running.compare,
    scoring.predict,
    scoring.attribute,
    scoring.ledger,
    scoring.export,
    scoring.mutate,
    scoring.pairs,
    effects.variants,
    effects.measured,
    interpreting.motifs,
    interpreting.heads,
    running.finetune,
    running.pretrain,
    studying.audit,
    studying.split,
    studying.negatives,
    studying.plant,
    studying.planted,
    studying.leakage,
    studying.backgrounds,
    studying.study,
    studying.sanity,
    studying.calibrate,
    showing.fetch,
):
    _add(verb, app)
_add(showing.list_, app, name="list", bare=True)
_add(showing.doctor, app, bare=True)
plot = typer.Typer(no_args_is_help=True, help=_help(_PLOT))
for command in (showing.curve, showing.verdicts, showing.logo, showing.heatmap, showing.heads):
    _add(command, plot)
app.add_typer(plot, name="plot")


def _print_version(requested: bool) -> None:
    if requested:
        print(f"kmerit {__version__}")
        raise typer.Exit


@app.callback(help=_help(_SUMMARY))
def options_of_all(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before any verb."""


def main() -> None:
    """Run the command line: exit code 0 done, 1 failed, 2 usage error, 3 a threshold exceeded, 130 stopped."""
    if not sys.warnoptions and not {"-v", "--verbose"} & set(sys.argv):
        # Other libraries' warnings are for developers; what a user must know is an error, or stands in the results.
        warnings.simplefilter("ignore")
    warnings.filterwarnings("always", category=WithheldWarning)
    warnings.showwarning = _show_warning
    # Arrow's own allocator keeps more of what is freed, whatever `disk.return_memory` asks of it.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    DISPLAY.listen()
    try:
        app(prog_name="kmerit")
    except KmeritError as error:
        DISPLAY.write(f"{type(error).__name__}: {error}")
        sys.exit(error.exit_code)
    except Exception as error:
        DISPLAY.write(_unexpected(error))
        sys.exit(1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of kmerit in a line, without its place in the code; others as Python does."""
    is_own = issubclass(category, WithheldWarning)
    DISPLAY.write(
        f"{message}" if is_own else warnings.formatwarning(message, category, filename, lineno, line).rstrip()
    )


def _unexpected(error: Exception) -> str:
    from kmerit.disk import as_disk_full

    if (full := as_disk_full(error, "the results")) is not None:
        return f"{type(full).__name__}: {full}"
    if DISPLAY.verbose:
        return "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, OSError) and error.filename is not None:
        return f"Error: {error.filename}: {error.strerror}."
    reason = (str(error).splitlines() or [""])[0][:200]
    what = f"Unexpected {type(error).__name__}: {reason}"
    return f"{what}\nThis is a bug in kmerit. Repeat with --verbose to see where, and report it."
