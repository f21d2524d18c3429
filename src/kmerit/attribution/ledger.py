"""The ledger: what the input, and everything that is no input, received of the explained output.

CP-LRP and AttnLRP are modified gradients, and relevance is a value times its modified gradient. That holds for offsets
as well: each is an input of 1 times a constant, and receives the constant times what came back to it. With what the
softmax of AttnLRP loses, all entries add up to the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.attribution.attribute import Target, check_abilities, fixed_target
from kmerit.attribution.method import methods as registered
from kmerit.attribution.references import Reference, ReferenceLike, book_from
from kmerit.attribution.references import reference as make_reference
from kmerit.errors import ConfigError, ModelError, NotFinite, UnknownName, UnsupportedMethod, UsageError
from kmerit.formats import significant
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.models.differentiable import Convolution, Differentiable, LayerNorm, Operations, operations
from kmerit.models.encoder import Encoder, Rules
from kmerit.models.family import Ability
from kmerit.models.inference import fitting, slices
from kmerit.models.layers import Linear, Norm, Rotation, alibi
from kmerit.models.model import Model, in_float64
from kmerit.models.rules import ATTNLRP, CP_LRP, AttnLRP
from kmerit.models.sequence_to_function import BatchNorm, SequenceToFunction
from kmerit.sequences import Int64, Sequences

BOOKS_OF: Mapping[str, AttnLRP] = {"cp_lrp": CP_LRP, "attnlrp": ATTNLRP}
"""The methods that have a ledger, and their rule books."""
ENTRIES = ("input", "special", "bias", "norm_offset", "position", "softmax")
_STEPS = "steps"
"""What secants of softplus and logarithms leave over: the output where they start, less what its latents take."""
TOLERANCE = 1e-9
"""By how much entries may miss the output, as a share of the sum of their sizes (of 1 where that is less)."""
REFERENCE = "reference"
"""The entry of a reference, where there is one."""


def ledger(
    model: Model,
    sequences: SequencesLike,
    methods: Sequence[str] = ("cp_lrp", "attnlrp"),
    target: Target = "predicted",
    reference: ReferenceLike | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Account for the explained output: what the sequence received, and what lies in no input at all.

    Computed in float64, also for a model of another precision. Chefer's rules leave biases out, and have no ledger.

    Args:
        model: Of a family with CP-LRP and AttnLRP; left as it was found.
        sequences: As for `attribute`; whole, nothing is truncated.
        methods: ``cp_lrp``, ``attnlrp`` or both.
        target: Output to explain, as for `attribute`.
        reference: What the output is compared with, as for `attribute`; None: 0.
        options: The gamma of a method's first convolution, as for `attribute`: ``{"cp_lrp": {"gamma": 0.25}}``.

    Returns:
        One row for each method and sequence: ``method``, ``name``, ``label`` (of classes, else missing), ``target``,
        ``output`` (the explained logit, or value) and its entries, in the same unit. ``input``: word embeddings of the
        tokens that cover nucleotides. ``special``: those of the other tokens. ``bias``: offsets of linear layers and
        convolutions, the token type, and what softplus or a logarithm at the end is where the last layer answers 0.
        ``norm_offset``: offsets of norms. ``position``: learned positions, ALiBi, and features of distances.
        ``softmax``: what AttnLRP loses there; 0 by CP-LRP. ``reference``, where there is one: what the reference takes;
        ``output_reference`` is the output there. ``missed``: the output, less that, less all entries, a rounding
        error: at most 1e-9 of the sum of the entries' sizes, or of 1 where they are less, else it is refused.

    Raises:
        UsageError: A string in place of a list of methods.
        UnknownName: No such method.
        UnsupportedMethod: A method without a ledger, or a family without these rules.
        ConfigError: An option other than gamma, or a gamma that is no number.
        ModelError: Entries that do not add up: the family adds something that the ledger does not know.
        NotFinite: An entry that is no number.
        UsageError, SequenceError, TargetError: A `Reference` of another model, of other sequences, of another target.

    Example:
        >>> import kmerit as km
        >>> table = km.ledger(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["cp_lrp"], target=1)
        >>> float(abs(table.missed).max()) < 1e-9
        True

    Source: achtibat2024, ali2022 for the rules.
    """
    if isinstance(methods, str):
        raise UsageError(f"methods: expected a list of names, got {methods!r}. Write [{methods!r}].")
    for name in methods:
        if name not in BOOKS_OF and name in registered():
            raise UnsupportedMethod(
                f"{name} has no ledger: it does not say what biases and other offsets received. "
                f"{' and '.join(BOOKS_OF)} do."
            )
        if name not in BOOKS_OF:
            raise UnknownName("method with a ledger", name, BOOKS_OF)
    if not has_ledger(model):
        raise UnsupportedMethod(
            f"{model.name} (family {model.family}) has neither CP-LRP nor AttnLRP, and so no ledger. "
            f"docs/families.md lists the families that have them."
        )
    gammas = _gammas(model, methods, options or {})
    sequences = as_sequences(sequences)
    model, target = model.of_target(target)
    model.check(sequences)
    classes = fixed_target(model, sequences, target)
    if reference is None:
        return of_targets(model, sequences, methods, classes, gammas=gammas)
    stated = (
        reference if isinstance(reference, Reference) else make_reference(model, sequences, reference, target=target)
    )
    stated.check(in_float64(model), sequences, classes)
    return of_targets(model, sequences, methods, stated.targets, stated, gammas)


def _gammas(model: Model, methods: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> Mapping[str, float]:
    """Read the gamma of each method that has one.

    Raises:
        UnknownName: Options of a method that is not accounted for.
        ConfigError: Another option, or no number.
        UnsupportedMethod: The network does not begin with a convolution over nucleotides.
    """
    for name, given in options.items():
        if name not in methods:
            raise UnknownName("method of this ledger", name, methods)
        if odd := [key for key in given if key != "gamma"]:
            raise ConfigError(f"{name}: no option {odd[0]!r} of a ledger. It has: gamma.")
    chosen = {name: registered()[name] for name in options}
    check_abilities(model, {name: (each, each.complete(options[name])) for name, each in chosen.items()})
    return {name: float(given["gamma"]) for name, given in options.items() if "gamma" in given}


def has_ledger(model: Model) -> bool:
    """Return whether a model's family has CP-LRP and AttnLRP in a form that can be accounted for."""
    return Ability.MODIFIED_GRADIENTS in model.abilities and isinstance(model.encoder, Encoder | Differentiable)


def of_targets(
    model: Model,
    sequences: Sequences,
    methods: Sequence[str],
    classes: Int64 | None,
    reference: Reference | None = None,
    gammas: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Account for the output of each sequence's own target; see `ledger`.

    Args:
        model: One that has a ledger.
        sequences: That the model takes.
        methods: Of ``BOOKS_OF``.
        classes: ``[sequence]``, or None for the predicted ones.
        reference: Of these sequences and classes, or none.
        gammas: Of the first convolution, by method; 0 where it has none.
    """
    books = {name: BOOKS_OF[name].with_gamma((gammas or {}).get(name, 0.0)) for name in methods}

    def account(exact: Model, part: slice) -> pd.DataFrame:
        rows = [
            slice(part.start + each.start, part.start + each.stop) for each in slices(part.stop - part.start, exact)
        ]
        fixed = [None if classes is None else torch.from_numpy(classes[each]) for each in rows]
        return pd.concat(
            [_account(exact, sequences.take(r), books, f, reference) for r, f in zip(rows, fixed, strict=True)]
        )

    exact = in_float64(model)
    tables = [fitting(exact, partial(account, part=part)) for part in slices(len(sequences), exact)]
    table = pd.concat(tables, ignore_index=True)
    order = pd.Categorical(table["method"], list(dict.fromkeys(methods)))
    return table.iloc[np.argsort(order.codes, kind="stable")].reset_index(drop=True)


def ledger_by_class(table: pd.DataFrame) -> pd.DataFrame:
    """Average a ledger over the sequences of each label (of all, where they have none).

    Args:
        table: Of `ledger`.

    Returns:
        One row for each method and label: ``method``, ``label``, ``sequences``, the mean ``output`` and entries, and
        means over sequences of shares of the sizes of all entries: ``input_share``; ``position_share``, what rests on
        where; ``no_input_share``, what rests on no input at all (biases, offsets of norms, softmaxes, the reference).

    Example:
        >>> import kmerit as km
        >>> table = km.ledger(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC", "GATTACAGATTACA"], target=1)
        >>> ledger_by_class(table)[["method", "sequences"]].values.tolist()
        [['cp_lrp', 2], ['attnlrp', 2]]
    """
    entries = [*ENTRIES, *([REFERENCE] if REFERENCE in table else [])]
    sizes = table[entries].abs()
    no_input = sizes.drop(columns=["input", "special", "position"]).sum(axis=1)
    parts = {"input_share": sizes["input"], "position_share": sizes["position"], "no_input_share": no_input}
    shares = table.assign(sequences=1, **{name: part / sizes.sum(axis=1) for name, part in parts.items()})
    groups = shares.groupby(["method", "label"], sort=False, dropna=False)
    columns = ["output", *(["output_reference"] if REFERENCE in table else []), *entries, *parts]
    return groups[columns].mean().assign(sequences=groups["sequences"].sum())[["sequences", *columns]].reset_index()


def _account(
    model: Model, part: Sequences, books: Mapping[str, AttnLRP], classes: Tensor | None, reference: Reference | None
) -> pd.DataFrame:
    """Account for one micro-batch."""
    tokens = model.tokenize(*part.padded())
    ids, mask = model.tensors(tokens)
    covers = torch.from_numpy(tokens.spans[..., 1] > tokens.spans[..., 0]).to(model.device)
    network = model.encoder
    with torch.no_grad():
        logits = network.logits(ids, mask)
        model.refuse_nonfinite(logits, tokens, part.names)
    target = logits.argmax(1) if classes is None else classes.to(model.device)
    seed = F.one_hot(target, logits.shape[1]).to(logits.dtype)
    has_classes = part.labels is not None and part.labels.ndim == 1 and part.labels.dtype == np.int64
    tables, start, pooled = [], None, None
    if reference is not None:
        start = torch.from_numpy(reference.values[reference.rows(part.names)]).to(logits)
        if isinstance(network, Encoder) and (pooled := reference.pooled(part.names)) is not None:
            pooled = pooled.to(logits)
    for name, book in books.items():
        if isinstance(network, Encoder):
            entries = _of_encoder(network, ids, mask, covers, seed, book, pooled)
        else:
            ops = operations(book)
            assert isinstance(network, Differentiable)  # for the type checker: has_ledger was asked
            assert ops is not None  # likewise: every method with a ledger has them
            entries = _of_differentiable(network, ids, mask, covers, seed, ops, start)
        output = logits.gather(1, target[:, None])[:, 0]
        steps = entries.pop(_STEPS, torch.zeros_like(output))
        if start is None:
            entries["bias"] = entries["bias"] + steps
        elif pooled is None:
            entries[REFERENCE] = steps - start
        residual = output - sum(entries.values()) - (0 if start is None else start)
        size = torch.stack(list(entries.values())).abs().sum(0).clamp(min=1)
        if not bool(torch.isfinite(size).all() & torch.isfinite(residual).all()):
            row = int((~torch.isfinite(size) | ~torch.isfinite(residual)).nonzero()[0])
            raise NotFinite(
                f"{model.name}: the ledger of {name} for {part.names[row]!r} has an entry that is not finite. "
                + ("Its outputs are too large." if start is None else f"Its reference is {float(start[row]):g}.")
            )
        if not bool((residual.abs() <= TOLERANCE * size).all()):
            raise ModelError(
                f"{model.name}: the entries of the ledger of {name} miss the output by "
                f"{significant(float(residual.abs().max()))}. Its "
                f"family, {model.family}, adds offsets that are not in fields called bias, or has an operation "
                f"without a rule."
            )
        reference_columns = {} if start is None else {"output_reference": start}
        columns = {"output": output, **reference_columns, **entries, "missed": residual}
        tables.append(
            pd.DataFrame(
                {
                    "method": name,
                    "name": part.names,
                    "label": part.labels if has_classes else pd.NA,
                    "target": target.cpu().numpy(),
                    **{key: values.cpu().numpy() for key, values in columns.items()},
                }
            ).astype({"label": "Int64"})
        )
    return pd.concat(tables, ignore_index=True)


def _total(x: Tensor) -> Tensor:
    """Sum over all but the first axis: [B]."""
    return x.flatten(1).sum(1)


@dataclass(eq=False)
class _Recorded:
    """A rule book that notes what offsets and softmaxes received: [B] each."""

    book: Rules
    slopes: Tensor | None
    reference: Tensor | None = None
    entries: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(ENTRIES, 0.0))
    after_softmax: bool = False  # the next product is that of queries and keys

    def linear(self, layer: Linear, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        self.entries["bias"] += _total(layer.bias * r)
        return self.book.linear(layer, x, y, r)

    def norm(self, layer: Norm, x: Tensor, r: Tensor) -> Tensor:
        self.entries["norm_offset"] += _total(layer.bias * r)
        return self.book.norm(layer, x, r)

    def softmax(self, y: Tensor, r: Tensor, scale: float) -> Tensor:
        received = self.book.softmax(y, r, scale)
        self.entries["softmax"] += _total(y * r)
        if self.slopes is not None:
            of_slopes = _total(alibi(self.slopes, y.shape[3])[:, :, : y.shape[2]] * received / scale)
            self.entries["position"] += of_slopes
            self.entries["softmax"] -= of_slopes
        self.after_softmax = True
        return received

    def matmul(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        if self.after_softmax:
            self.entries["softmax"] -= _total(y * r)
            self.after_softmax = False
        return self.book.matmul(a, b, y, r)

    def add(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        return self.book.add(a, b, y, r)

    def rotate(self, rotation: Rotation, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        return self.book.rotate(rotation, x, y, r)

    def multiply(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        return self.book.multiply(a, b, y, r)

    def activate(self, name: str, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        return self.book.activate(name, x, y, r)

    def tanh(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        received = self.book.tanh(x, y, r)
        if self.reference is not None:
            self.entries[REFERENCE] = -_total(self.reference * received)
        return received


def _of_encoder(
    network: Encoder, ids: Tensor, mask: Tensor, covers: Tensor, seed: Tensor, book: Rules, reference: Tensor | None
) -> dict[str, Tensor]:
    """Sweep once, down to the word embeddings and what is added to them."""
    with torch.inference_mode():
        rules = _Recorded(book_from(book, reference), network.slopes, reference)
        words = network.look_up(ids, mask)
        *_, (_, r) = network.sweep(network.record(network.embed(words), mask), rules, seed)
        r = network.to_words(words, rules, r)
        for added in network.added:  # one row for all places is a token type; a sum hands the same to all
            share = _total(added[: r.shape[1]] * r)
            rules.entries["bias" if len(added) == 1 else "position"] += share
        if reference is not None:  # the last bias is in both outputs
            rules.entries["bias"] -= _total(network.classifier.bias * seed)
        _note_input(rules.entries, (words * r).sum(-1), covers)
    return {
        key: value if isinstance(value, Tensor) else seed.new_zeros(len(seed)) for key, value in rules.entries.items()
    }


def _note_input(entries: dict[str, Any], relevance: Tensor, covers: Tensor) -> None:
    """Part the relevance of word embeddings [B, T] by whether a token covers nucleotides."""
    entries["input"] = (relevance * covers).sum(1)
    entries["special"] = (relevance * ~covers).sum(1)


@dataclass(eq=False)
class _Watched(Operations):
    """Operations that keep each softmax's two ends."""

    ops: Operations
    scores: list[Tensor] = field(default_factory=list)
    attentions: list[Tensor] = field(default_factory=list)
    positions: list[Tensor] = field(default_factory=list)
    rises: list[Tensor] = field(default_factory=list)
    risen: list[Tensor] = field(default_factory=list)

    def gate(self, gate: Tensor, x: Tensor) -> Tensor:
        return self.ops.gate(gate, x)

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        self.scores.append(self.ops.compare(q, k))
        return self.scores[-1]

    def mix(self, attention: Tensor, v: Tensor) -> Tensor:
        self.attentions.append(attention)
        return self.ops.mix(attention, v)

    def activate(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return self.ops.activate(function, x)

    def constant(self, x: Tensor) -> Tensor:
        return self.ops.constant(x)

    def position(self, x: Tensor) -> Tensor:
        self.positions.append(x.detach().clone().requires_grad_())
        return self.positions[-1]

    def step(self, function: Callable[[Tensor], Tensor], x: Tensor, reference: Tensor) -> Tensor:
        self.rises.append(x.view_as(x))
        self.risen.append(self.ops.step(function, self.rises[-1], reference))
        return self.risen[-1]

    def stem(self, convolution: Convolution, x: Tensor) -> Tensor:
        return self.ops.stem(convolution, x)


def _of_differentiable(
    network: Differentiable,
    ids: Tensor,
    mask: Tensor,
    covers: Tensor,
    seed: Tensor,
    ops: Operations,
    start: Tensor | None,
) -> dict[str, Tensor]:
    """Differentiate once for each sequence: a gradient of an offset would be one for all of them."""
    rows, keys = [], (*ENTRIES, _STEPS)
    for row in range(len(ids)):
        count = int(mask[row].sum())
        of_row = (slice(row, row + 1), slice(count))
        offsets: list[tuple[str, Tensor]] = []
        with torch.inference_mode(False), torch.enable_grad():
            leaf = _with_leaves(network, offsets)
            if isinstance(leaf, SequenceToFunction) and start is not None:
                leaf = replace(leaf, start=start[row : row + 1])
            x = network.look_up(ids[of_row].clone(), mask[of_row].clone()).detach().clone().requires_grad_()
            watched = _Watched(ops)
            output = (leaf.run(x, mask[of_row].clone(), watched, []) * seed[row : row + 1].clone()).sum()
            terms = [
                *((entry, 1, tensor) for entry, tensor in offsets),
                *(("position", 1, tensor) for tensor in watched.positions),
                *(("softmax", 1, tensor) for tensor in watched.attentions),
                *(("softmax", -1, tensor) for tensor in watched.scores),
                *((_STEPS, 1, tensor) for tensor in watched.risen),
                *((_STEPS, -1, tensor) for tensor in watched.rises),
            ]
            parts = [*(tensor for _, _, tensor in terms), x]
            received = torch.autograd.grad(output, parts, allow_unused=True, materialize_grads=True)
        entries: dict[str, Any] = dict.fromkeys(keys, seed.new_zeros(1))
        for (entry, sign, tensor), r in zip(terms, received, strict=False):
            entries[entry] = entries[entry] + sign * (tensor * r).sum().detach()
        _note_input(entries, (x * received[-1]).sum(-1).detach(), covers[of_row])
        rows.append(entries)
    return {key: torch.cat([entries[key] for entries in rows]) for key in keys}


def _with_leaves(part: Any, offsets: list[tuple[str, Tensor]]) -> Any:
    """Copy a network so that each of its offsets, a field called bias, can be differentiated; note them."""
    if isinstance(part, tuple):
        return tuple(_with_leaves(item, offsets) for item in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    changes = {}
    for each in fields(part):
        value = getattr(part, each.name)
        if isinstance(value, Tensor) and (each.name == "bias" or each.name.endswith("_bias")):
            changes[each.name] = value.detach().clone().requires_grad_()
            offsets.append(("norm_offset" if isinstance(part, LayerNorm | BatchNorm) else "bias", changes[each.name]))
        elif isinstance(value, tuple) or is_dataclass(value):
            changes[each.name] = _with_leaves(value, offsets)
    return replace(part, **changes)
