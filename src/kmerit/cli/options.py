"""Options that several verbs share, progress and messages, and what the Tab key completes.

What the Tab key completes: names of methods, measures and of what comes with kmerit. Each answer comes from the names
of files, without the heavy imports that the verbs need, for it is waited for.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from importlib.metadata import entry_points
from importlib.resources import files
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from kmerit.io.crops import Anchor
from kmerit.io.files import Case
from kmerit.sequences import Strands
from kmerit.trials.controls import CONTROLS

if TYPE_CHECKING:
    from kmerit.attribution.references import Reference
    from kmerit.io.crops import Tiles
    from kmerit.models.inference import MicroBatch
    from kmerit.models.model import Model
    from kmerit.sequences import Sequences
    from kmerit.store import Work


BUNDLED = "bundled:"
MEASURES = ("accuracy", "probability", "logit", "flip_rate", "tokens_changed", "gc_shift")
"""What `kmerit plot curve` can draw."""
KINDS = ("methods", "operators", "tasks", "families", "models", "configs", "features")
"""What `kmerit list` can list."""


def complete_methods(incomplete: str) -> list[str]:
    """Complete the last of comma-separated methods; earlier ones are not offered again.

    Example:
        >>> complete_methods("lrp,atte"), complete_methods("att")
        (['lrp,attention'], ['attention', 'attnlrp'])
    """
    *complete, last = incomplete.split(",")
    before = "".join(f"{name}," for name in complete)
    return [before + name for name in _methods() if name.startswith(last) and name not in complete]


def measures(incomplete: str) -> list[str]:
    """Complete a measure of a trial.

    Example:
        >>> measures("a")
        ['accuracy']
    """
    return [name for name in MEASURES if name.startswith(incomplete)]


def controls(incomplete: str) -> list[str]:
    """Complete a control.

    Example:
        >>> controls("s")
        ['shifted']
    """
    return [name for name in CONTROLS if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """Complete what can be listed.

    Example:
        >>> kinds("m")
        ['methods', 'models']
    """
    return [name for name in KINDS if name.startswith(incomplete)]


def configs(incomplete: str) -> list[str]:
    """Complete a config that comes with kmerit; nothing where nothing is typed, so that files are offered.

    Example:
        >>> configs("bundled:p"), configs("my"), configs("")
        (['bundled:paper', 'bundled:paper-mini', 'bundled:planted'], [], [])
    """
    return _bundled("configs/*.toml", incomplete)


def models(incomplete: str) -> list[str]:
    """Complete a model that comes with kmerit; nothing where nothing is typed, so that files are offered.

    Example:
        >>> models("bundled:p")
        ['bundled:planted_values', 'bundled:promoter']
    """
    return _bundled("models/*/config.json", incomplete)


def _methods() -> list[str]:
    own = (_house() / "attribution" / "methods").glob("[!_]*.py")
    return sorted({path.stem for path in own} | {entry.name for entry in entry_points(group="kmerit.methods")})


def _bundled(pattern: str, incomplete: str) -> list[str]:
    paths = (_house() / "assets").glob(pattern)
    names = sorted(path.parent.name if path.name == "config.json" else path.stem for path in paths)
    return [BUNDLED + name for name in names if incomplete and (BUNDLED + name).startswith(incomplete)]


def _house() -> Path:
    return Path(str(files("kmerit")))


Progress = Callable[[int, int], None]

PLAIN_SECONDS = 60.0
"""How often a line is written where there is no terminal to draw a bar on."""


@dataclass
class Display:
    """Verbosity of a process."""

    quiet: bool = False
    verbose: bool = False

    def write(self, message: str) -> None:
        """Write a line on stderr."""
        print(message, file=sys.stderr, flush=True)

    @contextmanager
    def watch(self, title: str) -> Iterator[Progress]:
        """Show how far a step is: a bar on a terminal, a line a minute elsewhere, nothing if quiet."""
        if self.quiet or int(os.environ.get("RANK", "0")) > 0:
            yield lambda done, total: None
        elif sys.stderr.isatty():
            with _bar(title) as progress:
                yield progress
        else:
            yield _plain(title, sys.stderr)

    def set_quiet(self, quiet: bool) -> None:
        """Take the option ``--quiet``."""
        self.quiet = quiet

    def set_verbose(self, verbose: bool) -> None:
        """Take the option ``--verbose``: the time stands before each message of the library."""
        self.verbose = verbose
        shape = logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S") if verbose else None
        _LOG_HANDLER.setFormatter(shape)

    def listen(self) -> None:
        """Show the library's messages on stderr, as of what a reader understood; of several processes the first's."""
        _LOG_HANDLER.shown.clear()
        if int(os.environ.get("RANK", "0")) == 0:
            logging.getLogger("kmerit").addHandler(_LOG_HANDLER)  # which adds it once


DISPLAY = Display()


_sharing: ContextVar["Work | None"] = ContextVar("sharing", default=None)


@contextmanager
def sharing(part: "Work") -> Iterator[None]:
    """Let a verb in the block do this part of its work."""
    before = _sharing.set(part)
    try:
        yield
    finally:
        _sharing.reset(before)


def share() -> "Work | None":
    """Return what of its work a verb does; None for all."""
    return _sharing.get()


def is_part() -> bool:
    """Return whether a verb does a part, after which there is nothing to show yet."""
    return share() not in (None, "gather")


class _Once(logging.Handler):
    """Shows each message once: a file may be read at several stages."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.shown:
            self.shown.add(message)
            DISPLAY.write(self.format(record))


_LOG_HANDLER = _Once(logging.WARNING)


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _plain(title: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Write ``title: 120 of 500, about 3 min left`` once a minute."""
    started = printed_at = clock()

    def progress(done: int, total: int) -> None:
        nonlocal printed_at
        now = clock()
        if now - printed_at >= PLAIN_SECONDS and done:
            printed_at = now
            minutes = (now - started) / done * (total - done) / 60
            print(f"{title}: {done} of {total}, about {minutes:.0f} min left", file=stream, flush=True)

    return progress


# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


Verb = Callable[..., None]


def _config(what: str) -> Any:
    text = f"The {what}, a TOML file or bundled:NAME."
    return typer.Argument(help=text, show_default=False, autocompletion=configs)


Out = Annotated[Path, typer.Option(help="Output path.", show_default=False)]
Results = Annotated[Path, typer.Option("--out", help="Output folder; reuse it to resume.", show_default=False)]
TrialScores = Annotated[
    list[str],
    typer.Option(
        metavar="[NAME=]FILE",
        help="Scores of the same sequences: of kmerit attribute, or own (.npy, .npz, .csv, .tsv). Repeatable.",
        show_default=False,
    ),
]
Study = Annotated[Path, _config("study")]
Experiment = Annotated[Path, _config("experiment")]


def methods() -> Any:
    """Make an option of methods to run, with its completion."""
    text = "Method names, comma-separated; see: kmerit list methods"
    return typer.Option(help=text, autocompletion=complete_methods)


Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the config. Repeatable.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=DISPLAY.set_quiet, help="Show no progress.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", callback=DISPLAY.set_verbose, help="Log each step, and show errors in full.")
]


AnyCase = Annotated[
    Case, typer.Option(help="Lower-case (soft-masked) letters: 'upper' reads them, 'exact' refuses them.")
]
SequenceColumn = Annotated[str | None, typer.Option(help="Column of the sequences; recognised by its name if omitted.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels; recognised by its name if omitted.")]
NameColumn = Annotated[str | None, typer.Option(help="Column of the names; recognised by its name if omitted.")]
CropLength = Annotated[int | None, typer.Option(min=1, help="Keep only this many nucleotides of each sequence.")]
CropPart = Annotated[Anchor, typer.Option(help="Part that --crop keeps.")]
MinLength = Annotated[int | None, typer.Option(min=1, help="Drop shorter sequences.")]
DropN = Annotated[bool, typer.Option("--drop-n", help="Drop sequences with an N.")]
Rename = Annotated[bool, typer.Option("--rename", help="Number duplicate names instead of refusing them.")]


Width = Annotated[
    int | None,
    typer.Option(
        min=1, help="Cut a window of this many nucleotides around each summit, or around the middle of an interval."
    ),
]


BothStrands = Annotated[Strands, typer.Option(help="'both': average with the reverse complement.")]


def from_options(**makers: Callable[..., Any]) -> Callable[[Verb], Verb]:
    """Build arguments of a command from options: the options of each maker become options of the command.

    Args:
        makers: By the name of the verb's parameter, what makes the argument.
    """

    def decorate(verb: Verb) -> Verb:
        options = {name: signature(maker).parameters for name, maker in makers.items()}
        own = [p for p in signature(verb).parameters.values() if p.name not in makers]

        @wraps(verb)
        def wrapper(**arguments: Any) -> None:
            by_maker = {name: {option: arguments.pop(option) for option in options[name]} for name in makers}
            verb(**{name: makers[name](**by_maker[name]) for name in makers}, **arguments)

        every = [*(p for parameters in options.values() for p in parameters.values()), *own]
        wrapper.__annotations__ = {}
        vars(wrapper)["__signature__"] = Signature([p.replace(kind=Parameter.KEYWORD_ONLY) for p in every])
        return wrapper

    return decorate


def writes(outputs: Callable[[Path], Sequence[Path]]) -> Callable[[Verb], Verb]:
    """Declare the files that a command writes, of which ``--out`` is the last."""

    def decorate(verb: Verb) -> Verb:
        vars(verb)["outputs"] = outputs
        return verb

    return decorate


def with_common_options(verb: Verb) -> Verb:
    """Add ``--quiet`` and ``--verbose`` to a command, and refuse outputs that are its inputs."""
    outputs = vars(verb).get("outputs", lambda out: [out])

    @wraps(verb)
    def wrapper(quiet: bool, verbose: bool, **arguments: Any) -> None:
        if arguments.get("out") is not None:
            _refuse_inputs(outputs(arguments["out"]), arguments)
        verb(**arguments)

    own = [p for p in signature(verb, eval_str=True).parameters.values() if p.name not in ("quiet", "verbose")]
    common_parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in (("quiet", Quiet), ("verbose", Verbose))
    ]
    wrapper.__annotations__ = {}
    vars(wrapper)["__signature__"] = Signature(
        [*(p.replace(kind=Parameter.KEYWORD_ONLY) for p in own), *common_parameters]
    )
    return wrapper


INPUTS = (
    *(
        "sequences",
        "genome",
        "vcf",
        "windows",
        "elements",
        "model",
        "attributions",
        "chrom_sizes",
        "positives",
        "gtf",
        "meme",
        "source",
    ),
    *(
        "base",
        "train",
        "validation",
        "test",
        "corpus",
        "given",
        "data",
        "run",
        "runs",
        "scores",
        "trial",
        "recipe",
        "planted",
    ),
)
"""Options whose values are read, where they are files or folders; of several ``SPLIT=FILE`` the file."""


def _refuse_inputs(outputs: Sequence[Path], arguments: Mapping[str, Any]) -> None:
    """Refuse to write what is read."""
    from kmerit.store import refuse_inputs

    def paths(names: Iterable[str]) -> list[str]:
        values = [arguments[name] for name in names if arguments.get(name) is not None]
        items = [each for value in values for each in (value if isinstance(value, list) else [value])]
        inputs = [str(each) for each in items if isinstance(each, str | Path)]
        return [path for each in inputs for path in (each, each.partition("=")[2]) if path]

    refuse_inputs(outputs, paths(INPUTS), within=paths(["config"]))


def sequences(
    sequences: Annotated[
        str,
        typer.Option(
            help="FASTA, FASTQ, CSV, TSV, JSON lines or Parquet, plain or compressed; - for standard input; a data-set "
            "folder or hub name; with --genome: BED, narrowPeak, or a region chr20:1-2000 (1-based, both ends).",
            show_default=False,
        ),
    ],
    crop: CropLength = None,
    anchor: CropPart = "left",
    min_length: MinLength = None,
    drop_n: DropN = False,
    case: AnyCase = "upper",
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    labels: Annotated[
        str | None, typer.Option(help="Columns of several labels or values, comma-separated; replaces --label-column.")
    ] = None,
    name_column: NameColumn = None,
    split: Annotated[str | None, typer.Option(help="Split of a data-set folder.")] = None,
    rename: Rename = False,
    genome: Annotated[
        Path | None,
        typer.Option(help="Genome FASTA for BED, narrowPeak or a region such as chr20:1-2000.", show_default=False),
    ] = None,
    width: Width = None,
    ignore_coordinates: Annotated[
        bool, typer.Option("--ignore-coordinates", help="Ignore coordinates of rows that have letters.")
    ] = False,
) -> "Sequences":
    """Read, filter and crop the user's sequences; say on stderr what was dropped."""
    from kmerit.errors import UsageError
    from kmerit.io.crops import Crop, prepare
    from kmerit.io.readers import read_sequences

    if labels is not None and label_column is not None:
        raise UsageError("--labels names several columns, --label-column one; leave one of them out.")
    all_sequences = read_sequences(
        sequences,
        sequence_column=sequence_column,
        label_column=label_column if labels is None else columns(labels),
        name_column=name_column,
        split=split,
        case=case,
        rename=rename,
        genome=genome,
        width=width,
        coordinates=not ignore_coordinates,
    )
    window = None if crop is None else Crop(crop, anchor)
    remaining, report = prepare(all_sequences, crop=window, min_length=min_length, drop_n=drop_n)
    if len(remaining) < len(all_sequences):
        reasons = f"{report['with_n']} with an N, {report['too_short']} too short"
        DISPLAY.write(f"Dropped {len(all_sequences) - len(remaining)} of {len(all_sequences)} sequences: {reasons}.")
    return remaining


def tiles(
    tile: Annotated[
        int | None, typer.Option(min=1, help="Read longer sequences in tiles of this many nucleotides.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Nucleotides from one tile to the next; --tile by default.")
    ] = None,
) -> "Tiles | None":
    """Build the tiling of long sequences."""
    from kmerit.errors import UsageError
    from kmerit.io.crops import Tiles

    if tile is None:
        if stride is not None:
            raise UsageError("--stride goes with --tile, the length of a tile.")
        return None
    return Tiles(tile, stride)


def model(
    model: Annotated[
        str,
        typer.Option(
            help="Model folder, hub name (owner/name), or bundled:NAME.",
            show_default=False,
            autocompletion=models,
        ),
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="float32; float64 for more exact scores; bfloat16 for prediction only.")
    ] = "float32",
    micro_batch: Annotated[
        str,
        typer.Option(
            metavar="<int or auto>",
            help="Sequences per pass over the model; auto: 8, and on a graphics card what a probe finds to fit.",
        ),
    ] = "auto",
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub model; also NAME@REVISION.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Use one of several labels or values as a task of its own: its number or name, or tracks and bins."
        ),
    ] = None,
) -> "Model":
    """Load the model."""
    from kmerit.models.model import load_model

    size = cast("MicroBatch", int(micro_batch) if micro_batch.isdecimal() else micro_batch)  # any other is refused
    whole_model = load_model(model, device, dtype, size, revision)
    return whole_model if label is None else whole_model.task(number_or_name(label))


def columns(text: str) -> list[str]:
    """Read comma-separated names of columns.

    Raises:
        UsageError: A name is empty, or stands twice.
    """
    from kmerit.errors import UsageError

    names = [name.strip() for name in text.split(",")]
    if "" in names or len(set(names)) < len(names):
        raise UsageError(f"--labels {text}: expected distinct column names, comma-separated.")
    return names


ReferenceName = Annotated[
    str | None,
    typer.Option(help="Compare the output with: shuffled, negatives, training, or a number.", show_default=False),
]
ReferenceRows = Annotated[
    str | None,
    typer.Option(help="Sequences of --reference negatives or training, a file.", show_default=False),
]


def reference_of(
    model: "Model", sequences: "Sequences", name: str | None, rows: str | None, target: str
) -> "Reference | None":
    """Make the reference that options name; None without one.

    Raises:
        UsageError: Another kind, or sequences without a kind.
    """
    if name is None and rows is None:
        return None
    from kmerit.attribution.references import reference
    from kmerit.errors import UsageError

    if name is None:
        raise UsageError("--reference-sequences: of which reference? Add --reference negatives, or training.")
    try:
        kind: str | float = float(name)
    except ValueError:
        kind = name
    return reference(model, sequences, kind, of=rows, target=number_or_name(target))


def number_or_name(text: str) -> "int | str | dict[str, Any]":
    """Read the number of an output, or tracks and bins as a JSON object; anything else is its name.

    Raises:
        UsageError: An object that is no JSON.
    """
    if not text.lstrip().startswith("{"):
        return int(text) if text.isdecimal() else text
    try:
        target: dict[str, Any] = json.loads(text)
    except ValueError as error:
        from kmerit.errors import UsageError

        raise UsageError(
            f"target: {text!r} is not JSON ({error}); expected a number, a name, or tracks and bins, as in "
            """'{"tracks": [0], "bins": "center", "how": "mean"}'."""
        ) from error
    return target
