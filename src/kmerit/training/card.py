"""A model's card: its figures, and those of linear baselines on the same rows and crop."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, Normalizer, StandardScaler

from kmerit.errors import LabelError
from kmerit.formats import baseline_text, fixed, interval, percent, significant
from kmerit.io.crops import Crop
from kmerit.sequences import Floats, Int64, Sequences, kmers
from kmerit.training.data import Splits
from kmerit.training.recipe import FinetuneConfig, PretrainConfig, TrainingConfig

_ROWS_AT_ONCE = 256


def kmer_frequencies(sequences: Sequences, k: int) -> csr_array:
    """Count each sequence's k-mers, as shares of all it has.

    Returns:
        ``[sequence, 4**k]``, sparse; k-mers over an N count for nothing.

    Example:
        >>> kmer_frequencies(Sequences.from_strings(["AACA"]), 1).toarray().tolist()
        [[0.75, 0.25, 0.0, 0.0]]
    """
    words = [kmers(bases, k) for bases in sequences.rows()]
    row = np.repeat(np.arange(len(words)), [word.size for word in words])
    column = np.concatenate(words)
    share = np.repeat([1 / max(word.size, 1) for word in words], [word.size for word in words])
    valid = column >= 0
    return csr_array((share[valid], (row[valid], column[valid])), shape=(len(words), 4**k))


def gapped_kmers(sequences: Sequences, window: int, k: int) -> csr_array:
    """Weigh each sequence's gapped k-mers: any ``k`` of ``window`` neighbouring letters, the others left open.

    Returns:
        ``[sequence, places * 4**k]``, sparse: logarithm of 1 + count, float32, for each choice of the ``k`` places.
        Windows over an N count for nothing. Source: ghandi2014, for the features; here with their logarithm.

    Example:
        >>> gapped_kmers(Sequences.from_strings(["ACG"]), 3, 2).nonzero()[1].tolist()  # AC., A.G, .CG
        [1, 18, 38]
    """
    places = list(combinations(range(window), k))
    shape = len(places) * 4**k
    parts = []
    for start in range(0, len(sequences), _ROWS_AT_ONCE):
        rows = [_gapped(bases, window, places) for bases in sequences.take(_range(start, len(sequences))).rows()]
        row = np.repeat(np.arange(len(rows), dtype=np.int32), [part.size for part in rows])
        column = np.concatenate(rows)
        part = csr_array((np.ones(column.size, dtype=np.float32), (row, column)), shape=(len(rows), shape))
        part.sum_duplicates()
        part.data = np.log1p(part.data)
        parts.append(part)
    return csr_array(vstack(parts, format="csr"))


def _range(start: int, rows: int) -> Int64:
    return np.arange(start, min(start + _ROWS_AT_ONCE, rows), dtype=np.int64)


def _gapped(bases: NDArray[np.int8], window: int, places: Sequence[tuple[int, ...]]) -> NDArray[np.int32]:
    """Number the gapped k-mers of one sequence."""
    if bases.size < window:
        return np.zeros(0, dtype=np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(bases, window).astype(np.int32)
    valid = np.all((windows >= 0) & (windows < 4), axis=1)
    k = len(places[0])
    weights = (4 ** np.arange(k - 1, -1, -1)).astype(np.int32)
    numbered = [windows[valid][:, place] @ weights + i * 4**k for i, place in enumerate(places)]
    return np.concatenate(numbered).astype(np.int32)


def linear_baselines(
    train: Sequences, test: Sequences, *, ks: Sequence[int] = (4, 6), gapped: tuple[int, int] | None = None
) -> dict[str, Floats]:
    """Fit logistic regressions on the training rows and measure them on the test rows.

    Args:
        train: With classes as labels, cropped as the model sees them.
        test: Likewise.
        ks: Word lengths.
        gapped: Window and letters of gapped k-mers; none by default.

    Returns:
        Logits ``[sequence, class]``, per word length (``"4-mers"``) and for ``"gapped k-mers (8, 5)"``.

    Raises:
        LabelError: No classes.

    Example:
        >>> rows = Sequences.from_strings(["AAAAA", "CCCCC"], labels=[0, 1])
        >>> linear_baselines(rows, rows, ks=[1])["1-mers"].argmax(axis=1).tolist()
        [0, 1]
    """
    if train.labels is None or test.labels is None or train.labels.dtype != np.int64:
        raise LabelError("Baselines need classes as labels.")
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    metrics = {}
    for k in ks:
        model = make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=2000))
        metrics[f"{k}-mers"] = _answers(
            model, kmer_frequencies(train, k), train.labels, kmer_frequencies(test, k), classes
        )
    if gapped is not None:
        window, k = gapped
        model = make_pipeline(Normalizer(), LogisticRegression(C=4.0, max_iter=200, tol=1e-3))
        both = gapped_kmers(train, window, k), gapped_kmers(test, window, k)
        metrics[f"gapped k-mers ({window}, {k})"] = _answers(model, both[0], train.labels, both[1], classes)
    return metrics


def value_baseline(train: Sequences, test: Sequences, *, k: int = 4) -> Floats:
    """Predict values of the test rows by ridge regression on the k-mers of the training rows.

    The penalty is chosen on the training rows, each left out in turn.

    Args:
        train: With values as labels, one or several of a row, cropped as the model sees them.
        test: Sequences.
        k: Word length.

    Returns:
        ``[sequence, value]``.

    Raises:
        LabelError: No values.

    Example:
        >>> rows = Sequences.from_strings(["AAAA", "AACC", "CCCC"], labels=[0.0, 1.0, 2.0])
        >>> value_baseline(rows, rows, k=1).shape
        (3, 1)
    """
    if train.labels is None:
        raise LabelError("A baseline needs values.")
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 5, 11)))
    model.fit(kmer_frequencies(train, k).toarray(), train.labels)
    return np.asarray(model.predict(kmer_frequencies(test, k).toarray()), dtype=np.float64).reshape(len(test), -1)


def _answers(model: Pipeline, train: csr_array, labels: NDArray[Any], test: csr_array, classes: int) -> Floats:
    """Fit and answer; classes that training never saw have the lowest score, probabilities of 0 as low as floats go."""
    model.fit(train, labels)
    log_probability = np.maximum(model.predict_log_proba(test), np.log(np.finfo(float).tiny))
    logits = np.full((len(log_probability), classes), log_probability.min() - 1, dtype=np.float64)
    logits[:, model.classes_] = log_probability
    return logits


Log = Sequence[Mapping[str, float]]


def crop_text(crop: Crop | None) -> str:
    """Describe a crop.

    Example:
        >>> crop_text(Crop(200, "left"))
        '200 nt, left'
    """
    return "none" if crop is None else f"{crop.length} nt, {crop.anchor}"


def pretrained(config: PretrainConfig, facts: Mapping[str, Any], log: Log) -> str:
    """Write the card of a pre-trained encoder."""
    low, high = config.spans
    settings = {
        "Corpus": f"{facts['origin']}: {facts['nucleotides']:,} nt",
        "Cut out first": _cut_out(facts["cleaning"]),
        "Model": f"BERT over {config.k}-mers, {facts['parameters']:,} parameters",
        "Objective": f"masked k-mers, {percent(config.mask_share)} of tokens in spans of {low} to {high}",
        "Crops": ", ".join(f"{length} nt" for length in config.crop_lengths),
        "Seed": config.seed,
    }
    return render(f"A pre-trained DNABERT-{config.k} encoder", "Restores masked k-mers of DNA.", config, settings, log)


def _cut_out(cleaning: Mapping[str, int]) -> str:
    if not cleaning:
        return "nothing"
    return f"{cleaning['removed_nt']:,} of {cleaning['nt']:,} nt, shared with test or validation rows"


_KINDS = {
    "single_label_classification": "Classes",
    "multi_label_classification": "Labels, 0 or 1 each",
    "regression": "Values",
}


def finetuned(
    config: FinetuneConfig, splits: Splits, measured: Mapping[str, Any], log: Log, title: str | None = None
) -> str:
    """Write the card of a fine-tuned model; by default its title names the data."""
    rows = ", ".join(f"{name} {size:,}" for name, size in splits.sizes.items())
    settings = {
        "Data": f"{splits.name}: {rows} rows",
        _KINDS[config.problem_type]: ", ".join(splits.classes),
        "Crop": crop_text(splits.crop),
        "Encoder": config.base or "new",
        "Seed": config.seed,
    }
    if config.architecture == "enformer":
        settings["Encoder"] = f"new Enformer, bins of {2**config.downsamples} nt"
        settings["Loss"] = config.loss or "poisson"
    summary = "Predicts a value of a DNA sequence." if config.regression else "Classifies DNA sequences."
    if config.labels is not None:
        summary = f"Predicts {len(config.labels)} {'values' if config.regression else 'labels'} of a DNA sequence."
    if config.bins is not None:
        settings["Values"] = f"{config.bins} bins; metrics are those of their mean"
        summary = f"Predicts the values of {config.bins} bins of a DNA sequence."
    part = splits.test if splits.test is not None else splits.validation
    clustered = part is not None and part.loci is not None
    title = title or f"A model of {splits.name}"
    return render(title, summary, config, settings, log, metrics_table(measured), notes(measured), clustered)


def metrics_table(measured: Mapping[str, Any]) -> dict[str, Any] | None:
    """Lay test metrics (without them, those on validation) out as a table: the model first, baselines below."""
    split = next((name for name in ("test", "validation") if name in measured), None)
    if split is None:
        return None
    names = [name for name in measured[split] if name != "rows"]
    outputs = measured.get("outputs", {})
    rows = {f"this model, mean of {len(outputs)}" if outputs else "this model": measured[split]} | outputs
    seeds = measured.get("seeds", {"seeds": ()})
    if len(seeds["seeds"]) > 1:
        rows[f"mean of {len(seeds['seeds'])} seeds"] = seeds
    for name, entry in measured.get("baselines", {}).items():
        rows[baseline_text(name)] = entry
    for name, entry in measured.get("above", {}).items():
        rows[f"this model less {baseline_text(name)}"] = entry
    return {
        "split": split,
        "columns": [f"{split}, {measured[split]['rows']:,} rows", *names],
        "rows": [[label, *(interval_text(entry[name]) for name in names)] for label, entry in rows.items()],
    }


def interval_text(entry: Mapping[str, float | None]) -> str:
    """Format a value with its interval.

    Example:
        >>> interval_text({"value": 0.9, "low": 0.88, "high": 0.92})
        '0.900 (0.880 to 0.920)'
    """
    return interval(entry["value"], entry["low"], entry["high"], none="undefined")


def notes(measured: Mapping[str, Any]) -> list[str]:
    """List whether targets were reached, which rows were left out, and the AUROC of each seed.

    Example:
        >>> notes({"targets": {"auroc": {"target": 0.9, "reached": True}}})
        ['auroc: the target 0.9 was reached.']
    """
    lines = [
        f"{name}: the target {goal['target']} was {'reached' if goal['reached'] else 'MISSED'}."
        for name, goal in measured.get("targets", {}).items()
    ]
    for split, counts in measured.get("dropped", {}).items():
        if counts.get("with_n") or counts.get("too_short"):
            lines.append(
                f"{split}: {counts['with_n']} rows with an N and {counts['too_short']} too short were left out."
            )
        if counts.get("outside") or counts.get("overlapping"):
            lines.append(
                f"{split}: {counts['outside']} rows whose window is not whole in the genome and "
                f"{counts['overlapping']} whose window overlaps one of another split were left out."
            )
    if len(measured.get("seeds", {}).get("seeds", ())) > 1:
        each = ", ".join(fixed(value) for value in measured["seeds"]["auroc"]["each"])
        lines.append(f"The seeds' intervals are Student's, of their mean. AUROC of each seed: {each}.")
    return lines


def chosen(
    title: str,
    config: FinetuneConfig,
    splits: Splits,
    measured: Mapping[str, Any],
    log: Log,
    encoder: str,
    remarks: Sequence[str] = (),
) -> str:
    """Write the card of a classifier that validation chose among several seeds and the average of their weights.

    Args:
        title: Of the card.
        config: Its recipe.
        splits: What it learned and was measured on.
        measured: As `measure` gives it, with ``chosen`` (a seed, or ``average``) and ``seeds``, see
            `kmerit.metrics.over_seeds`.
        log: Of its training; of the first seed's, if it is an average.
        encoder: What it started from.
        remarks: Further notes.

    Example:
        >>> rows = Sequences.from_strings(["ACGT"], labels=[0])
        >>> measured = {"seeds": {"seeds": [0]}, "chosen": "0"}
        >>> card = chosen("Mine", FinetuneConfig.parse({"task": "ienhancer_2l"}), Splits(rows), measured, [], "new")
        >>> "seed 0, the only one" in card
        True
    """
    seeds, best = measured["seeds"]["seeds"], measured["chosen"]
    listed = ", ".join(map(str, seeds))
    if best == "average":
        weights = f"the average over seeds {listed}, which validation preferred to each seed alone"
    elif len(seeds) == 1:
        weights = f"seed {best}, the only one"
    else:
        weights = f"seed {best}, which validation preferred to the other of seeds {listed} and to their average"
    facts = {
        "Data": f"{splits.name}: {', '.join(f'{split} {size:,}' for split, size in splits.sizes.items())} rows",
        "Classes": ", ".join(splits.classes),
        "Crop": crop_text(splits.crop),
        "Encoder": encoder,
        "Weights of": weights,
        "Weights": "float16 on disk, computed with in float32",
    }
    if best == "average":
        facts["Log and settings below"] = f"of seed {seeds[0]}"
    difference = (
        "`this model less ...`: the metrics' differences on the same test rows, both drawn together. "
        "Gapped k-mers (8, 5): any 5 of 8 neighbouring letters."
    )
    summary = f"Tells {' and '.join(splits.classes)} apart ({splits.name})."
    remarks = [*notes(measured), *remarks, difference]
    return render(title, summary, config, facts, log, metrics_table(measured), remarks, clustered=True)


_UNLABELLED = """
Of the rest, sites and genome windows that share even one {0}-mer, on either strand, with such a row (validation or
test) are left out of the unlabelled sequences, which the teachers answer to. The labelled sites and windows of the
warm-up got the first rule only.
"""


def cleaned(corpus: Mapping[str, int], sites: Mapping[str, int], unlabelled: int | None = None) -> str:
    """Write the section of a card on what was removed before training.

    Args:
        corpus: The account of `without_test_rows`, of a corpus; empty where nothing is excluded.
        sites: Likewise, of labelled sites.
        unlabelled: Length of a word, for a model taught on unlabelled sequences from which all are left out that share
            one so long, see `without_kmers_of`.

    Example:
        >>> "40 of 1,000 nt of the corpus, 0 of 0 DNase sites." in cleaned({"removed_nt": 40, "nt": 1000}, {})
        True
    """
    return (
        "\n## Removed before training\n\n"
        "All that shares 40 32-mers, on either strand, with a row of the measured splits: "
        f"{corpus.get('removed_nt', 0):,} of {corpus.get('nt', 0):,} nt of the corpus, "
        f"{sites.get('dropped', 0):,} of {sites.get('rows', 0):,} DNase sites.\n"
        f"{'' if unlabelled is None else _UNLABELLED.format(unlabelled)}"
    )


def render(
    title: str,
    summary: str,
    config: TrainingConfig,
    facts: Mapping[str, Any],
    log: Log,
    metrics: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    clustered: bool = False,
) -> str:
    """Fill the template of a card."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string((files("kmerit.training") / "card.md.jinja").read_text(encoding="utf-8"))
    packages = ("kmerit", "torch", "transformers", "accelerate", "numpy")
    return template.render(
        title=title,
        summary=summary,
        facts=facts,
        metrics=metrics,
        notes=notes,
        clustered=clustered,
        log=_log_table(log),
        command=_MAKER.get() or f"`{shlex.join([*_program(), *sys.argv[1:]])}`",
        versions=", ".join(f"{name} {version(name)}" for name in packages),
        config=config.model_dump_json(indent=2, exclude_defaults=True),
    )


_MAKER: ContextVar[str | None] = ContextVar("maker", default=None)


@contextmanager
def made_by(maker: str) -> Iterator[None]:
    """Let the cards of models that are trained in the block name what trained them, and no command.

    The commands of a run's parts differ, and so may the one that resumes it; the cards are to be equal to the byte.

    Args:
        maker: Words, ``"A run of kmerit."``.
    """
    before = _MAKER.set(maker)
    try:
        yield
    finally:
        _MAKER.reset(before)


def _program() -> list[str]:
    """Name what was started: a script, or a module, as it is typed."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return [Path(sys.argv[0]).name] if spec is None else ["python", "-m", spec.name.removesuffix(".__main__")]


def _log_table(log: Log, most: int = 40) -> dict[str, Any]:
    """Lay out the validations, or the training loss where there are none; thinned to ``most`` rows."""
    measured = [entry for entry in log if any(key.startswith("eval_") for key in entry)]
    entries = measured or [entry for entry in log if "loss" in entry]
    entries = entries[:: max(1, -(-len(entries) // most))]
    names = [key for key in (entries[0] if entries else {}) if key not in ("step", "grad_norm")]
    rows = [
        [str(int(entry["step"])), *(significant(entry[name], 4) if name in entry else "" for name in names)]
        for entry in entries
    ]
    return {"columns": [name.removeprefix("eval_") for name in names], "rows": rows}
