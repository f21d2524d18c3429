"""A model as methods and users see it, and how it is loaded from a path or a name."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kmerit.errors import (
    CheckpointError,
    LabelError,
    LengthError,
    RunMismatch,
    SequenceError,
    TargetError,
    UsageError,
    short,
)
from kmerit.formats import frame_html
from kmerit.io.crops import Tiles
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.models.checkpoint import Checkpoint, read
from kmerit.models.encoder import Encoder, tensors_of
from kmerit.models.family import Ability, Network, family_of
from kmerit.models.inference import (
    Company,
    MicroBatch,
    batches,
    check_strands,
    company_of,
    fitting,
    is_probed,
    micro_batch_of,
    over_tiles,
    part,
    probed,
    refuse_nonfinite,
    slices,
    strand_change,
)
from kmerit.models.layers import Products, can_pack, full_precision, making
from kmerit.models.products import fastest
from kmerit.models.sequence_to_function import SequenceToFunction, canonical, described
from kmerit.models.tokenizers import Tokenizer
from kmerit.results import Predictions, Problem, task_digest
from kmerit.sequences import ALPHABET, Float, Int8, Int64, Sequences, Strands, Tokens, decode, other_strand
from kmerit.store import refuse_other

_LOG = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
_FEW = 256
"""Sequences whose prediction is not worth a probe."""
_LISTED = 10
"""Outputs that a message names."""


def environment() -> dict[str, Any]:
    """List what the last bits of an answer depend on, whatever the model: versions, and threads.

    Example:
        >>> list(environment())
        ['kmerit', 'torch', 'threads']
    """
    return {**{name: version(name) for name in ("kmerit", "torch")}, "threads": torch.get_num_threads()}


class Trained(NamedTuple):
    """What a model was trained on: the fewest and the most nucleotides, and the crop, ``200 nt, left`` or ``none``."""

    shortest: int
    longest: int
    crop: str

    @property
    def window(self) -> int | None:
        """Nucleotides of the one length there was, or of the crop that only shorter rows fell short of; else None."""
        cropped = self.crop.startswith(f"{self.longest} nt,")
        return self.longest if cropped or self.shortest == self.longest else None


@dataclass(frozen=True, eq=False)
class Model:
    """A genomic classifier (or regressor) with its tokeniser.

    Attributes:
        name: The path or name it was loaded from.
        family: Name of its family.
        encoder: Weights and forward pass.
        tokenizer: ``(bases, lengths) -> Tokens``, and what it needs and adds.
        labels: Names of the outputs, in their order.
        problem: What the outputs mean.
        max_tokens: How many tokens the model takes, special tokens included.
        abilities: What methods may ask of it.
        digest: sha256 of the weights.
        micro_batch: Sequences per forward pass; fixed before a run, since it may change the last bits of a result.
        undecided: Whether nobody has named the micro-batch: that of what was begun is taken, or what `fitted` finds.
        company: Which sequences may share a pass, for padding must not change an answer.
        trained: The lengths that it was trained on, where that is recorded.
        fixed_products: Which matrix products it is to make, where that was decided elsewhere; see `products`.
        whole: Of a model of tracks that explains what it was trained on, that with all tracks and no target.
        tiles: How a trial takes longer sequences apart: `check` and `logits` are then of tiles, and `logits` their
            `over_tiles`.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> model.family, model.labels, model.n_classes, model.shortest, model.max_tokens
        ('dnabert', ('background', 'promoter'), 2, 6, 512)
    """

    name: str
    family: str
    encoder: Network
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    problem: Problem
    max_tokens: int
    abilities: frozenset[Ability]
    digest: str
    micro_batch: int
    undecided: bool = False
    company: Company = Company.ANY
    trained: Trained | None = None
    fixed_products: Products | None = None
    whole: Model | None = None
    tiles: Tiles | None = None

    def __repr__(self) -> str:
        outputs = "a value" if self.problem is Problem.VALUE else f"{self.n_classes} {self.problem.value}"
        outputs = "a label" if outputs == "1 labels" else outputs
        precision = f"{str(self.dtype).removeprefix('torch.')} on {self.device}"
        return f"<Model {self.name} ({self.family}): {outputs}: {self.listed}; {precision}>"

    def _repr_html_(self) -> str:
        import pandas as pd

        facts = {
            "family": self.family,
            "predicts": self.problem.value,
            "outputs": short(self.listed),
            "length": f"{self.shortest} nt and more, up to {self.max_tokens:,} tokens",
            "computes in": f"{str(self.dtype).removeprefix('torch.')} on {self.device}",
            "sha256 of the weights": self.digest[:12],
        }
        return frame_html(f"Model {self.name}", pd.DataFrame(facts.items(), columns=["", "value"]))

    def __call__(
        self, ids: Tensor | NDArray[np.integer[Any]] | Tokens, mask: Tensor | NDArray[np.bool_] | None = None
    ) -> Tensor:
        """Classify token ids: a plain function of tensors, for programs such as captum and tangermeme.

        Args:
            ids: ``[sequence, token]``, whole numbers, special tokens included, of torch or NumPy; or what `tokenize`
                gave. They may be float32 or float64, as tangermeme's ``predict`` makes of them.
            mask: ``bool [sequence, token]``, False on padding; without it nothing is padding.

        Returns:
            Logits ``[sequence, output]``, or values. No gradient flows to ids; for that see ``one_hot_model``.

        Raises:
            UsageError: Ids that are no whole numbers, of another shape, or of a dtype that rounds them.
            LengthError: More tokens than the model takes.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> tokens = model.tokenize(*km.Sequences.from_strings(["ACGTTGCA"]).padded())
            >>> model(tokens.ids).shape
            torch.Size([1, 2])
        """
        if isinstance(ids, Tokens):
            ids, mask = self.tensors(ids)
        ids = torch.as_tensor(ids) if isinstance(ids, np.ndarray) else ids
        mask = torch.as_tensor(mask) if isinstance(mask, np.ndarray) else mask
        if isinstance(ids, Tensor) and ids.dtype in (torch.float16, torch.bfloat16):
            raise UsageError(
                f"ids: {str(ids.dtype).removeprefix('torch.')} rounds large ids; expected whole numbers, or float32. "
                f"tangermeme's predict: give it dtype='float32'."
            )
        if not isinstance(ids, Tensor) or ids.is_complex() or ids.ndim != 2 or not _are_whole(ids):
            raise UsageError(
                f"ids: expected whole numbers [sequence, token], got {getattr(ids, 'dtype', type(ids).__name__)} "
                f"{list(getattr(ids, 'shape', []))}. Sequences: model.predict; one-hot input: km.one_hot_model(model)."
            )
        if not ids.numel() or int(ids.min()) < 0:
            raise UsageError(f"ids: expected at least one, none of them negative; got {list(ids.shape)}.")
        if ids.shape[1] > self.max_tokens:
            raise LengthError(f"ids: {ids.shape[1]} tokens; {self.name} takes at most {self.max_tokens}.")
        if mask is not None and mask.shape != ids.shape:
            raise UsageError(f"mask: expected the shape of ids, {list(ids.shape)}, got {list(mask.shape)}.")
        ids = ids.to(self.device, torch.int64)
        token_mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.to(self.device, torch.bool)
        try:
            with torch.no_grad(), full_precision():
                return self.encoder.logits(ids, token_mask)
        except IndexError as error:
            raise UsageError(f"ids: {int(ids.max())} is above the highest id of {self.name} ({error}).") from error

    def parameters(self) -> Iterator[Tensor]:
        """Yield its tensors, where programs for torch modules, such as tangermeme, look for device and dtype.

        Example:
            >>> import kmerit as km
            >>> {tensor.dtype for tensor in km.load_model("bundled:promoter").parameters()}
            {torch.float32}
        """
        yield from tensors_of(self.encoder)

    @property
    def training(self) -> bool:
        """Return False: it never trains, and has no dropout."""
        return False

    def eval(self) -> Model:
        """Return itself, as torch modules do: it never trains.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> model.eval() is model
            True
        """
        return self

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Model:
        """Copy it to a device, or to another dtype; unlike a torch module, the model itself does not move.

        Example:
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter").to("cpu", torch.float64).dtype
            torch.float64
        """
        return replace(self, encoder=self.encoder.to(torch.device(device), self.dtype if dtype is None else dtype))

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.encoder.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.encoder.dtype

    @property
    def products(self) -> Products:
        """Which matrix products it makes, ``packed`` or ``plain``: those it was given, else what is faster here.

        They differ in the last bits of an answer. Other networks than kmerit's own encoder make plain ones.

        Example:
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter", dtype="float64").products
            'plain'
        """
        if self.fixed_products is not None:
            return self.fixed_products
        if not isinstance(self.encoder, Encoder):
            return "plain"
        return fastest(self.device, self.dtype, int(self.encoder.words.shape[-1]))

    @property
    def conditions(self) -> dict[str, Any]:
        """List what the last bits of its answers depend on beside its weights: every part of some work has the same.

        Example:
            >>> import kmerit as km
            >>> conditions = km.load_model("bundled:promoter", dtype="float64").conditions
            >>> [conditions[key] for key in ("dtype", "device", "micro_batch", "products")]
            ['float64', 'cpu', 8, 'plain']
        """
        return {**self._chosen, "products": self.products}

    @property
    def _chosen(self) -> dict[str, Any]:
        """The conditions that are not measured."""
        return {
            **environment(),
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "micro_batch": self.micro_batch,
        }

    def begun_with(self, begun: Mapping[str, Any], folder: Path, what: str) -> Model:
        """Copy it, to go on with something under the conditions that it was begun with.

        The products are those of then, and so is the micro-batch where nobody has named one.

        Args:
            begun: What is recorded of them, see `conditions`; what is not is not compared. Other keys are not read.
            folder: What was begun.
            what: What it holds, for the error.

        Raises:
            RunMismatch: A condition differs: it is named, the products last, for they follow from the others.

        Example:
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter").begun_with({"dtype": "float64"}, Path("results"), "a trial")
            Traceback (most recent call last):
            kmerit.errors.RunMismatch: results holds a trial: dtype was 'float64', now it is 'float32'. ...
        """
        if self.undecided and begun.get("micro_batch") is not None:
            self = replace(self, micro_batch=begun["micro_batch"], undecided=False)
        chosen = {key: value for key, value in self._chosen.items() if begun.get(key) is not None}
        refuse_other(folder, what, {key: begun[key] for key in chosen}, chosen)
        return self.with_products(begun.get("products"), folder)

    def fitted(
        self,
        sequences: Sequences,
        work: Callable[[Model, Sequences], object] | None = None,
        begun: Mapping[str, Any] | None = None,
    ) -> Model:
        """Copy it with a micro-batch that fits the device, where nobody has named one; see `inference.probed`.

        Args:
            sequences: What is to be worked on. The one with most tokens is tried, as many times over as a micro-batch
                holds. Those that the model does not take leave it as it is.
            work: What is done with them, given a model and a micro-batch; by default they are classified.
            begun: What is recorded of something that was begun; the micro-batch in it is taken.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter", micro_batch=4)
            >>> model.fitted(km.Sequences.from_strings(["ACGTTGCA"])).micro_batch
            4
        """
        if not self.undecided or not len(sequences):
            return self
        if begun is not None and begun.get("micro_batch") is not None:
            return replace(self, micro_batch=begun["micro_batch"], undecided=False)
        if not is_probed(self.device):
            return replace(self, undecided=False)
        whole = replace(self, tiles=None)
        try:
            self.check(sequences)
            pieces = sequences if self.tiles is None else self.tiles.cut(sequences).sequences
        except SequenceError:
            return self
        longest = int(self.tokenizer.survey(pieces).tokens.argmax())
        pass_of = work or Model._logits_of
        letters = pieces.take([longest]).strings()
        size = probed(whole, lambda model: pass_of(model, Sequences.from_strings(letters * model.micro_batch)))
        _LOG.info("%s on %s: a micro-batch of %d, found by a probe", self.name, self.device, size)
        return replace(self, micro_batch=size, undecided=False)

    def with_products(self, products: Products | None, where: os.PathLike[str]) -> Model:
        """Copy it, to make the products with which something was begun.

        Args:
            products: Those; None where that is not recorded.
            where: What was begun.

        Raises:
            RunMismatch: Packed ones, which this machine, device or dtype cannot make.

        Example:
            >>> from pathlib import Path
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter").with_products("plain", Path("results")).products
            'plain'
        """
        if products == "packed" and isinstance(self.encoder, Encoder) and not can_pack(self.device, self.dtype):
            raise RunMismatch(
                f"{os.fspath(where)}: products was 'packed', now it is 'plain', for {self.name} on {self.device} "
                f"cannot make packed ones here. Go on where it can, or choose a new folder with --out (Python: out=)."
            )
        return self if products is None else replace(self, fixed_products=products)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute float32 in float32 in the block, with this model's products if nobody chose others.

        Example:
            >>> import kmerit as km
            >>> with km.load_model("bundled:promoter").computing():
            ...     torch.get_float32_matmul_precision()
            'highest'
        """
        with full_precision(), making(self.products, unless_chosen=True):
            yield

    @property
    def n_classes(self) -> int:
        """Outputs: classes, labels or values."""
        return self.encoder.outputs

    @property
    def regression(self) -> bool:
        """Return whether the outputs are values, not logits."""
        return self.problem.are_values

    @property
    def other_unit(self) -> str | None:
        """Say why labels are in another unit than what is explained; None where they are in its unit.

        Labels are in the unit of what a model was trained on. Of tracks and bins, another aggregate is in another unit.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:planted_values")
            >>> model.other_unit is None
            True
            >>> model.task({"tracks": [0], "bins": "all", "how": "log_mean"}).other_unit[:72]
            'labels are in the unit of what a model was trained on, and bundled:plant'
        """
        if self.untrained_value is None:
            return None
        name, label = self.untrained_value
        return (
            f"labels are in the unit of what a model was trained on, and {name} is not known to be trained on the "
            f"{label}"
        )

    @property
    def untrained_value(self) -> tuple[str, str] | None:
        """Name the model, and the value that it is not known to be trained on; None where it is trained on it.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:planted_values")
            >>> model.task({"tracks": [0], "bins": "all", "how": "log_mean"}).untrained_value[0]
            'bundled:planted_values'
        """
        network = self.encoder
        if not isinstance(network, SequenceToFunction) or network.aggregate is None or self.whole is not None:
            return None
        label = self.labels[0]
        return self.name.removesuffix(f", {label}"), label

    @property
    def shortest(self) -> int:
        """Nucleotides a sequence needs at least."""
        return self.tokenizer.shortest

    @property
    def listed(self) -> str:
        """The outputs with their numbers, or the first of many."""
        rest = " ..." if self.n_classes > _LISTED else ""
        return ", ".join(f"{i} {label}" for i, label in enumerate(self.labels[:_LISTED])) + rest

    def output(self, target: int | str) -> int:
        """Find an output by its number or its name.

        Raises:
            TargetError: There is none, or several have that name.

        Example:
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter").output("promoter")
            1
        """
        if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < self.n_classes:
            return target
        matches = [i for i, label in enumerate(self.labels) if label == target]
        if len(matches) == 1:
            return matches[0]
        what = f"{target!r} names {len(matches)} outputs" if matches else f"class {target} does not exist"
        if isinstance(target, str) and not matches:
            what = f"expected 'predicted', 'label', a number or a name, got {target!r}"
        raise TargetError(f"target: {what}; {self.name} has {self.n_classes}: {self.listed}.")

    def task(self, target: int | str | Mapping[str, Any]) -> Model:
        """Take one output as a model of its own: a label as a question with the answers no and yes, or a single value.

        Args:
            target: The output's number or name. Of a model of tracks, which of them and which bins are explained, and
                what is made of them: ``{"tracks": [0, 3], "bins": "center", "how": "log_mean"}``. ``tracks``: numbers,
                names, or ``all``; ``bins``: ``center``, ``all``, or numbers counted after the crop; ``how``: ``mean``,
                ``sum``, ``log_mean``, or ``log_ratio``, of their mean to that of the tracks ``to``.

        Raises:
            TargetError: There is none, or several have that name; or the model predicts classes, which answer one
                question together.

        Example:
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter").task("promoter")
            Traceback (most recent call last):
            kmerit.errors.TargetError: bundled:promoter predicts classes, which answer one question together; ...
        """
        if isinstance(target, Mapping):
            return self._aggregate(target)
        index = self.output(target)
        if self.problem is Problem.CLASSES:
            raise TargetError(
                f"{self.name} predicts classes, which answer one question together; none is a task of its own. Choose "
                f"the class that is explained with target (--target)."
            )
        if self.problem is Problem.VALUE:
            return self
        label, asks = self.labels[index], self.problem is Problem.LABELS
        return replace(
            self,
            name=f"{self.name}, {label}",
            encoder=self.encoder.of_output(index, asks),
            labels=(f"not {label}", label) if asks else (label,),
            problem=Problem.CLASSES if asks else Problem.VALUE,
            digest=task_digest(self.digest, self.problem.value, index),
        )

    def of_target(self, target: int | str | Mapping[str, Any]) -> tuple[Model, int | str]:
        """Return the model that answers a target, and what of it is explained: of tracks and bins, its one value.

        Args:
            target: The predicted output or that of the label, one by number or name, or tracks and bins.

        Raises:
            TargetError: Tracks and bins that do not exist.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> model.of_target("promoter") == (model, "promoter")
            True
        """
        return (self.task(target), "predicted") if isinstance(target, Mapping) else (self, target)

    def _aggregate(self, target: Mapping[str, Any]) -> Model:
        """Make a model of one value from the tracks and bins of a model of tracks."""
        if not isinstance(self.encoder, SequenceToFunction):
            raise TargetError(f"target: tracks and bins are named, and {self.name} has none. It has: {self.listed}.")
        if self.whole is not None:
            encoder = self.whole.encoder.to(self.device, self.dtype)
            whole = replace(self.whole, encoder=encoder, micro_batch=self.micro_batch, undecided=self.undecided)
            other = whole._aggregate(target)
            return replace(other, whole=self.whole) if _aggregates_alike(self.encoder, other.encoder) else other
        if self.encoder.aggregate is not None:
            raise TargetError(
                f"target: {self.name} is one value already. Name tracks and bins of the whole model, as it was loaded."
            )
        encoder, label = self.encoder.explaining(target, self.name), described(target)
        return replace(
            self,
            name=f"{self.name}, {label}",
            encoder=encoder,
            labels=(label,),
            problem=Problem.VALUE,
            digest=sha256(f"{self.digest} {canonical(target)}".encode()).hexdigest(),
        )

    def check_target(self) -> None:
        """Refuse a model of tracks before tracks and bins are named.

        Raises:
            TargetError: With how to name them.

        Example:
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter").check_target()  # it has no tracks
        """
        if isinstance(self.encoder, SequenceToFunction) and self.encoder.aggregate is None:
            raise self.encoder.undecided(self.name)

    def check(self, sequences: Sequences) -> None:
        """Refuse sequences that the model cannot take whole; log a warning if it was trained on other lengths.

        Raises:
            SequenceError: None at all, one too short, or with a letter that has no token.
            LengthError: More tokens than the model takes.

        Example:
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter").check(km.Sequences.from_strings(["ACGT"]))
            Traceback (most recent call last):
            kmerit.errors.SequenceError: 'seq0' has 4 nt; dnabert needs at least 6. ...
        """
        self.check_target()
        if not len(sequences):
            raise SequenceError("Expected at least one sequence, got none.")
        if self.tiles is not None:
            sequences = self.tiles.cut(sequences).sequences
        lengths = sequences.lengths
        if lengths.min() < self.shortest:
            i = int(np.argmin(lengths))
            raise SequenceError(
                f"{sequences.names[i]!r} has {lengths[i]} nt; {self.family} needs at least {self.shortest}. "
                f"Drop such sequences: km.prepare(sequences, min_length={self.shortest}), --min-length {self.shortest}."
            )
        tokens, unknown = self.tokenizer.survey(sequences)
        if tokens.max() > self.max_tokens:
            raise LengthError(f"{sequences.names[int(np.argmax(tokens))]!r} {self._too_long(int(tokens.max()))}")
        if unknown is not None:
            i, position = unknown
            letter = ALPHABET[sequences.bases[sequences.offsets[i] + position]]
            drop = "Drop such sequences: km.prepare(sequences, drop_n=True), --drop-n."
            remedy = drop if letter == "N" else "Is this a vocabulary for DNA?"
            raise SequenceError(
                f"{sequences.names[i]!r} has {'an' if letter in 'AN' else 'a'} {letter} at position {position}; "
                f"{self.family} would see an unknown token there. {remedy}"
            )
        if self.trained is not None:
            _warn_of_lengths(self.name, self.trained, int(lengths.min()), int(lengths.max()))

    def numbered(self, sequences: Sequences) -> Sequences:
        """Number labels that are names as this model numbers its classes.

        A model that does not name its classes (``LABEL_0``, or ``0``, ...) takes those of the sequences in their order,
        unless they are called alike; that is logged. Of sequences with several labels or values, a task of one (see
        `task`) takes its own.

        Raises:
            LabelError: A label is not one of the model's classes; or it is a number, and the classes are called by
                numbers in another order, so that nobody can tell whether it is a name or a place.

        Example:
            >>> from dataclasses import replace
            >>> import kmerit as km
            >>> two = replace(km.Sequences.from_strings(["ACGT"], labels=[0]), classes=("promoter", "background"))
            >>> km.load_model("bundled:promoter").numbered(two).labels.tolist()
            [1]
        """
        if sequences.outputs is not None and self.problem not in (Problem.LABELS, Problem.VALUES):
            return sequences.of_output(self.labels[-1])
        if self.problem is not Problem.CLASSES or sequences.labels is None:
            return sequences
        if sequences.classes is None:
            names = dict(enumerate(self.labels))
            numbers = np.unique(sequences.labels).tolist() if sequences.labels.dtype == np.int64 else []
            if unclear := [number for number in numbers if names.get(number) != str(number) in self.labels]:
                raise LabelError(
                    f"The labels are numbers, and {self.name} calls its classes {', '.join(map(repr, self.labels))}: "
                    f"is {unclear[0]} a name, or a place in that list? Call them otherwise: id2label in config.json."
                )
            return sequences
        nameless = all(label in (f"LABEL_{i}", str(i)) for i, label in enumerate(self.labels))
        alike = set(sequences.classes) <= set(self.labels)
        if nameless and not alike and len(sequences.classes) <= self.n_classes:
            order = ", ".join(f"{i} {name}" for i, name in enumerate(sequences.classes))
            _LOG.warning(f"{self.name} does not name its classes; they are taken to be {order}.")
            return sequences
        return sequences.numbered(self.labels)

    def _too_long(self, tokens: int) -> str:
        special = self.tokenizer.special
        return (
            f"gives {tokens - special} tokens; {self.family} allows {self.max_tokens - special} plus "
            f"{special} special. Crop with --crop (Python: km.prepare), or read it in tiles with --tile "
            f"(Python: tiles=)."
        )

    def tokenize(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch: bases ``int8 [sequence, position]``, -1 beyond each length.

        Raises:
            LengthError: More tokens than the model takes. Mutants can have more than their sequence, where a vocabulary
                has words of several lengths.

        Example:
            >>> import kmerit as km
            >>> km.load_model("bundled:promoter").tokenize(*km.Sequences.from_strings(["ACGTTGCA"]).padded()).ids.shape
            (1, 5)
        """
        tokens = self.tokenizer(bases, lengths)
        if tokens.ids.shape[1] > self.max_tokens:
            i = int(np.argmax(tokens.mask.sum(1)))
            raise LengthError(f"{decode(bases[i, : lengths[i]])[:20]}... {self._too_long(tokens.ids.shape[1])}")
        return tokens

    def tensors(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Put ids and mask on the model's device.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> ids, mask = model.tensors(model.tokenize(*km.Sequences.from_strings(["ACGTTGCA"]).padded()))
            >>> ids.shape, mask.all()
            (torch.Size([1, 5]), tensor(True))
        """
        return (
            torch.from_numpy(tokens.ids).to(self.device, non_blocking=True),
            torch.from_numpy(tokens.mask).to(self.device, non_blocking=True),
        )

    def forward(self, tokens: Tokens, names: Sequence[str] | None = None) -> Float:
        """Classify one micro-batch; in several passes where its sequences may not share one.

        Args:
            tokens: The micro-batch.
            names: Of its sequences, for errors; by default they are counted.

        Returns:
            Logits ``[sequence, class]`` in the model's dtype; in float32 for bfloat16. All are finite.

        Raises:
            NotFinite: An answer that is no number.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> model.forward(model.tokenize(*km.Sequences.from_strings(["ACGTTGCA"]).padded())).shape
            (1, 2)
        """
        logits: Float | None = None
        for rows in batches(tokens, self.company):
            outputs = self._pass(part(tokens, rows) if rows.size < len(tokens.ids) else tokens)
            if logits is None:
                logits = np.empty((len(tokens.ids), outputs.shape[1]), dtype=outputs.dtype)
            logits[rows] = outputs
        if logits is None:
            raise ValueError("forward: expected at least one sequence.")
        self.refuse_nonfinite(torch.from_numpy(logits), tokens, names)
        return logits

    def _pass(self, tokens: Tokens) -> Float:
        with torch.inference_mode(), self.computing():
            logits = self.encoder.logits(*self.tensors(tokens))
        if logits.dtype == torch.bfloat16:  # numpy has no such numbers
            logits = logits.float()
        return np.asarray(logits.cpu().numpy())

    def refuse_nonfinite(self, logits: Tensor, tokens: Tokens, names: Sequence[str] | None = None) -> None:
        """Refuse answers that are no numbers: they are never a class.

        Args:
            logits: ``[sequence, class]``.
            tokens: What was asked.
            names: Of the sequences; by default they are counted.

        Raises:
            NotFinite: With the sequence, and the layer where it began.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> tokens = model.tokenize(*km.Sequences.from_strings(["ACGTTGCA"]).padded())
            >>> model.refuse_nonfinite(torch.from_numpy(model.forward(tokens)), tokens)
        """
        refuse_nonfinite(
            logits,
            [f"sequence {i} of this batch" for i in range(len(logits))] if names is None else names,
            self.name,
            self.encoder,
            lambda row: self.encoder.logits(*self.tensors(part(tokens, np.array([row])))),
        )

    def logits(self, sequences: SequencesLike, progress: Progress | None = None, strands: Strands = "forward") -> Float:
        """Classify sequences in micro-batches, in their order.

        Where memory runs out, a micro-batch is cut in half, and a warning logged.

        Args:
            sequences: `Sequences`, strings, a DataFrame, a path: anything that ``as_sequences`` takes.
            progress: Called with what is done and what there is to do.
            strands: ``both`` averages the logits of each sequence with those of its reverse complement: what scores
                over both strands explain. `predict` averages the probabilities instead.

        Returns:
            Logits ``[sequence, output]``, or values.

        Raises:
            UsageError: Another word for ``strands``.
            SequenceError: A sequence is too short, or has a letter without a token.
            LengthError: A sequence is too long; nothing is truncated.
            OutOfMemory: A single sequence does not fit.
            NotFinite: An answer that is no number.

        Example:
            >>> import kmerit as km
            >>> logits = km.load_model("bundled:promoter").logits(km.Sequences.from_strings(["ACGTTGCA", "TATAAAGG"]))
            >>> logits.shape, logits.dtype
            ((2, 2), dtype('float32'))
        """
        check_strands(strands)
        sequences = as_sequences(sequences)
        if strands == "both":
            return (self.logits(sequences, progress) + self.logits(other_strand(sequences), progress)) / 2
        if self.tiles is not None:
            pieces = self.tiles.cut(sequences)
            of_tiles = replace(self, tiles=None).logits(pieces.sequences, progress)
            by_sequence = np.split(of_tiles, pieces.first[1:])
            return np.stack([over_tiles(self.problem, each) for each in by_sequence])
        self.check(sequences)
        order = np.arange(len(sequences))
        if self.company is Company.EQUAL:  # together, so that a micro-batch needs few passes
            order = np.argsort(self.tokenizer.survey(sequences).tokens, kind="stable")
        parts: list[NDArray[Any]] = []
        for rows in slices(len(sequences), self):
            batch = sequences.take(order[rows])
            parts.append(fitting(self, partial(Model._logits_of, sequences=batch)))
            if progress is not None:
                progress(rows.stop, len(sequences))
        return np.concatenate(parts)[np.argsort(order, kind="stable")]

    def _logits_of(self, sequences: Sequences) -> Float:
        parts = (sequences.take(rows) for rows in slices(len(sequences), self))
        return np.concatenate([self.forward(self.tokenize(*batch.padded()), batch.names) for batch in parts])

    def predict(
        self,
        sequences: SequencesLike,
        progress: Progress | None = None,
        tiles: Tiles | None = None,
        strands: Strands = "forward",
    ) -> Predictions:
        """Predict ``[sequence, output]``: probabilities of the classes or of each label, or values.

        Args:
            sequences: What to classify: `Sequences`, strings, a DataFrame, a path, as `logits` takes.
            progress: Called with what is done and what there is to do.
            tiles: How longer sequences are taken apart; theirs is the mean of their tiles' predictions.
            strands: ``both`` averages what is predicted for each sequence and for its reverse complement. Where the
                two differ much a warning is logged; by how much stands in the result's ``settings``.

        Returns:
            An array that knows its names: ``predict(...).to_frame()`` is a table.

        Raises:
            UsageError: Another word for ``strands``.
            SequenceError: A sequence is too short, or has a letter without a token.
            LengthError: A sequence is too long; nothing is truncated.

        Example:
            >>> import kmerit as km
            >>> odds = km.load_model("bundled:promoter").predict(["ACGTTGCA", "TATAAAGG"])
            >>> odds.shape, odds.sum(axis=1).round(5).tolist()
            ((2, 2), [1.0, 1.0])
        """
        check_strands(strands)
        sequences = as_sequences(sequences)
        settings: dict[str, Any] = {"model": self.digest, "problem": self.problem.value, "strands": strands}
        model = replace(self, tiles=tiles).fitted(sequences) if len(sequences) > _FEW else self
        settings |= {"micro_batch": model.micro_batch} if self.undecided and is_probed(self.device) else {}
        model = replace(model, tiles=self.tiles)
        answers = model._answers(sequences, progress, tiles)
        if strands == "both":
            back = model._answers(other_strand(sequences), progress, tiles)
            settings["strand_change"] = strand_change(self.problem, answers, back, self.name)._asdict()
            answers = (answers + back) / 2
        return Predictions.of(answers, sequences.names, self.labels, settings)

    def _answers(self, sequences: Sequences, progress: Progress | None, tiles: Tiles | None) -> Float:
        if tiles is None:
            return self.problem.answer(self.logits(sequences, progress))
        pieces = tiles.cut(sequences)
        return pieces.mean(self.problem.answer(self.logits(pieces.sequences, progress)))


@cache
def _warn_of_lengths(name: str, trained: Trained, shortest: int, longest: int) -> None:
    """Say once that a model is asked about other lengths than it was trained on."""
    if trained.shortest <= shortest and longest <= trained.longest:
        return
    crop = f" (crop: {trained.crop})" if trained.crop != "none" else ""
    _LOG.warning(
        "%s was trained on %s nt%s; these sequences have %s nt. Its answers at other lengths are not tested.",
        *(name, _span(trained.shortest, trained.longest), crop, _span(shortest, longest)),
    )


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


_KINDS = ("single_label_classification", "multi_label_classification", "regression")


def problem_of(checkpoint: Checkpoint, outputs: int) -> Problem:
    """Read what a checkpoint predicts: what config.json says, else one value for one output and classes for more.

    Args:
        checkpoint: Its ``problem_type`` is what transformers means by it.
        outputs: Of its head.

    Raises:
        CheckpointError: Another problem type, or one that contradicts the outputs.
    """
    problem_type = checkpoint.config.get("problem_type")
    if problem_type is not None and problem_type not in _KINDS:
        raise CheckpointError(
            f"{checkpoint.name}: problem_type is {problem_type!r} in config.json; expected one of {', '.join(_KINDS)}."
        )
    if problem_type == "multi_label_classification":
        return Problem.LABELS
    if problem_type == "single_label_classification" and outputs == 1:
        raise CheckpointError(
            f"{checkpoint.name}: problem_type is {problem_type!r} in config.json, but the head has one output, which "
            f"cannot choose among classes. Correct it to regression or multi_label_classification."
        )
    if outputs == 1:
        return Problem.VALUE
    return Problem.VALUES if problem_type == "regression" else Problem.CLASSES


def labels_of(checkpoint: Checkpoint, outputs: int) -> tuple[str, ...]:
    """Read the names of the outputs, in their order; ``LABEL_0`` ... where there are none.

    Raises:
        CheckpointError: Names for another number of outputs than the head has.
    """
    config, name = checkpoint.config, checkpoint.name
    plain = tuple(f"LABEL_{i}" for i in range(outputs))
    number = config.get("num_labels")
    if number is not None and number != outputs:
        raise CheckpointError(f"{name}: num_labels is {number!r} in config.json; the head has {outputs} outputs.")
    names: Any = config.get("id2label")
    if not names:
        return plain
    if not isinstance(names, dict):
        raise CheckpointError(f"{name}: expected a name for each output as 'id2label' in config.json, got {names!r}.")
    if set(names) == {str(i) for i in range(outputs)}:
        return tuple(str(names[str(i)]) for i in range(outputs))
    if number == outputs and all(re.fullmatch(r"LABEL_\d+", str(label)) for label in names.values()):
        return plain  # early versions of transformers left two of these for any num_labels
    raise CheckpointError(
        f"{name}: id2label names {len(names)} outputs in config.json ({', '.join(map(str, list(names.values())[:3]))}"
        f" ...); the head has {outputs}, numbered from 0."
    )


_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def load_model(
    path_or_name: str | os.PathLike[str],
    device: str = "auto",
    dtype: str = "float32",
    micro_batch: MicroBatch = "auto",
    revision: str | None = None,
    target: Mapping[str, Any] | None = None,
) -> Model:
    """Load a genomic classifier.

    Args:
        path_or_name: A folder in Hugging Face's layout, a hub name (``owner/name``), or ``bundled:promoter``,
            ``bundled:enhancer``.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: ``float32``, ``float64`` or ``bfloat16`` (prediction only).
        micro_batch: Sequences per forward pass. ``auto``: 8 on a processor; on a graphics card it is found before work
            begins, by trying the longest sequence: half of what fits, at most 64. What was begun keeps its own.
        revision: Branch, tag or commit of a hub name; ``owner/name@revision`` says the same.
        target: Of a model of tracks, what is explained, as for `Model.task`; by default what it was trained on, where
            `kmerit finetune` trained it on one value.

    Raises:
        TargetError: Tracks, bins or keys that do not exist, or a model without tracks.
        CheckpointError: Truncated, without a classification head, of an architecture that no family covers, with
            tensors or settings that would have to be ignored, or answering differently at each call.
        OfflineError: A hub name, and no network.
        UsageError: An unknown device or dtype.

    Example:
        >>> model = load_model("bundled:promoter")
        >>> model.labels
        ('background', 'promoter')
    """
    if dtype not in _DTYPES:
        raise UsageError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}.")
    checkpoint = read(path_or_name, revision, _DTYPES[dtype])
    model = of_checkpoint(checkpoint, device, dtype, micro_batch)
    decided = model if target is not None and not isinstance(target, Mapping) else _decided(model, checkpoint)
    return decided if target is None else decided.task(target)


def _decided(model: Model, checkpoint: Checkpoint) -> Model:
    """Explain what a model of tracks was trained on, where kmerit trained it on one value."""
    about = checkpoint.config.get("kmerit")
    target = about.get("target") if isinstance(about, dict) else None
    return model if target is None else replace(model.task(target), whole=model)


def _are_whole(ids: Tensor) -> bool:
    return not ids.is_floating_point() or bool((ids == ids.round()).all() and ids.isfinite().all())


def _aggregates_alike(one: Network, other: Network) -> bool:
    """Return whether two networks make the same value of the same tracks and bins, however these were named."""
    if not isinstance(one, SequenceToFunction) or not isinstance(other, SequenceToFunction):
        return False
    return one.aggregate == other.aggregate and one.tracks == other.tracks


def of_checkpoint(
    checkpoint: Checkpoint, device: str = "auto", dtype: str = "float32", micro_batch: MicroBatch = "auto"
) -> Model:
    """Make a model of a checkpoint; see `load_model`.

    Raises:
        CheckpointError: As of `load_model`.
        UsageError: An unknown device or dtype.
    """
    place = find_device(device)
    size, undecided = micro_batch_of(micro_batch)
    family = family_of(checkpoint)
    checkpoint.check_architecture(family.architectures)
    digest = checkpoint.digest  # before the tensors are taken
    parts = family.build(checkpoint)
    checkpoint.close(parts.unused, parts.ignored)
    outputs = parts.encoder.outputs
    return Model(
        name=checkpoint.name,
        family=family.name,
        encoder=parts.encoder.to(place, _DTYPES[dtype]),
        tokenizer=parts.tokenizer,
        labels=parts.tracks or labels_of(checkpoint, outputs),
        problem=Problem.VALUES if parts.tracks else problem_of(checkpoint, outputs),
        digest=digest,
        micro_batch=size,
        undecided=undecided,
        max_tokens=parts.max_tokens,
        abilities=parts.abilities | ({Ability.MASKING} if parts.tokenizer.mask_id is not None else set()),
        trained=_trained(checkpoint.config),
        company=company_of(checkpoint.name, parts.encoder, parts.tokenizer, parts.max_tokens),
    )


def _trained(config: Mapping[str, Any]) -> Trained | None:
    """Read which lengths kmerit's own training recorded, if it did: those, or at least the crop."""
    about = config.get("kmerit")
    if not isinstance(about, dict) or about.get("stage") != "finetune":
        return None
    crop = str(about.get("crop", "none"))
    match about.get("lengths"), crop.split():
        case [int(shortest), int(longest)], _:
            return Trained(shortest, longest, crop)
        case _, [length, "nt,", _] if length.isdecimal():
            return Trained(int(length), int(length), crop)
    return None


def window_of(model: Model) -> int | None:
    """Find the one number of nucleotides that a model takes or was trained on; None if there is none."""
    length = getattr(model.tokenizer, "length", None)
    if isinstance(length, int):
        return length
    return None if model.trained is None else model.trained.window


def elsewhere(model: Model, device: str, dtype: str, micro_batch: MicroBatch) -> Model:
    """Copy a model to a device, in a dtype, with a micro-batch, all named as for `load_model`.

    Raises:
        UsageError: An unknown device or dtype.
    """
    if dtype not in _DTYPES:
        raise UsageError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}.")
    place = find_device(device)
    size, undecided = micro_batch_of(micro_batch)
    return replace(model, encoder=model.encoder.to(place, _DTYPES[dtype]), micro_batch=size, undecided=undecided)


def in_float64(model: Model) -> Model:
    """Copy a model, to compute in float64; on the processor where the device cannot."""
    device = torch.device("cpu") if model.device.type == "mps" else model.device
    return replace(model, encoder=model.encoder.to(device, torch.float64))


def find_device(name: str) -> torch.device:
    """Find a device by its name.

    Raises:
        UsageError: It is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device: {name!r} is not available here. Try 'cpu', or 'auto'.") from error
    return device
