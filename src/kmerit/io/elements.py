"""Tables of measured effects: saturation mutagenesis of regulatory elements, a row per variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit.errors import FormatError, UsageError, short
from kmerit.io.readers import read_table
from kmerit.sequences import ALPHABET, Floats, Int8, Int64, N, decode

if TYPE_CHECKING:
    import pandas as pd


COLUMNS = {
    "element": ("element",),
    "assay": ("assay",),
    "chrom": ("chrom", "chromosome", "chr"),
    "position": ("position", "pos"),
    "ref": ("ref", "reference"),
    "alt": ("alt", "alternative"),
    "effect": ("effect", "coefficient", "value"),
    "se": ("se", "stderr", "standard_error"),
    "p": ("p", "pvalue", "p-value", "p_value"),
    "barcodes": ("barcodes", "tags"),
    "release": ("release", "assembly"),
}
"""What a table says, and how its columns are called, however capitalised: also those of Kircher et al. 2019."""
_COUNTS = ("dna", "rna")
"""Columns of Kircher et al. 2019 that are known, and not needed: the effect was estimated from them."""
_NEEDED = ("element", "position", "ref", "alt", "effect")
_DELETION = ("-", "")
_MISSING = ("", "na", "nan", "n/a", "null", "none", ".")
"""How tables write that nothing is known."""
REASONS = ("position_missing", "deletion", "effect_missing", "few_barcodes", "no_substitution")
"""Why a row of a table takes no part."""


@dataclass(frozen=True, eq=False)
class Assay:
    """Effects that one experiment measured in one element.

    Attributes:
        element: What it is of; several assays of one element share it.
        name: Its own.
        chrom: The chromosome; empty where the table has none.
        start: Of the first position, as the table counts.
        bases: ``int8 [position]``, the construct that the references spell; N where no row says the letter.
        position: ``int64 [row]``, from the construct's beginning.
        step: ``int64 [row]``, from the reference to the substitution in the order ACGT: 1, 2 (a transition) or 3.
        effect: ``float64 [row]``.
        se: ``float64 [row]``, standard errors; NaN where they are not known.
        barcodes: ``float64 [row]``; NaN where they are not known.
        left_out: Rows that take no part, by reason.
    """

    element: str
    name: str
    chrom: str
    start: int
    bases: Int8
    position: Int64
    step: Int64
    effect: Floats
    se: Floats
    barcodes: Floats
    left_out: dict[str, int]

    def __len__(self) -> int:
        return self.position.size

    @property
    def alt(self) -> Int64:
        """The substitutions' letters, ``int64 [row]``."""
        return np.asarray((self.bases[self.position] + self.step) % 4, dtype=np.int64)

    @property
    def digest(self) -> str:
        """sha256 of all that it holds."""
        total = sha256(f"{self.element}|{self.name}|{self.chrom}|{self.start}|{decode(self.bases)}".encode())
        for array in (self.position, self.step, self.effect, self.se, self.barcodes):
            total.update(np.ascontiguousarray(array).tobytes())
        return total.hexdigest()


def read_elements(
    path: str | Path,
    *,
    release: str | None = None,
    elements: Sequence[str] | None = None,
    min_barcodes: int = 10,
) -> list[Assay]:
    r"""Read measured effects.

    Args:
        path: A table (CSV, TSV, Parquet; plain or compressed) with a row per variant: element, position, ref, alt,
            effect; and where known se or p, barcodes, chrom, assay, release. The table of Kircher et al. 2019,
            ``elements.tsv.gz``, is read as it is. Ref spells the construct.
        release: The assembly whose rows are taken, where the table has several.
        elements: Names of those that are taken; by default all.
        min_barcodes: Rows with fewer take no part.

    Returns:
        An assay per name. Assays whose positions overlap on a chromosome, or that spell the same letters, are of one
        element; names do not matter.

    Raises:
        FormatError: A column is missing or unknown, two rows of a position name other references, or a substitution
            occurs twice.
        UsageError: Several releases and none chosen, or no such release or element.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "measured.csv"
        >>> text = "element,position,ref,alt,effect\nLDLR,1,A,C,-0.5\nLDLR,2,C,G,0.1\n"
        >>> _ = path.write_text(text, encoding="utf-8")
        >>> [(assay.element, len(assay)) for assay in read_elements(path)]
        [('LDLR', 2)]
    """
    table, _ = read_table(Path(path))
    frame = _named(table.to_pandas(), path)
    for column in ("position", "effect", "barcodes", "se", "p"):
        _check_numbers(frame, column, path)
    if "release" in frame:
        unnamed = int((frame["release"].isna() | (frame["release"].astype(str).str.strip() == "")).sum())
        if 0 < unnamed < len(frame):
            raise FormatError(f"{path}: {unnamed} of {len(frame)} rows name no release. Name it in each, or in none.")
        there = sorted(frame["release"].dropna().astype(str).unique())
        if release is None and len(there) > 1:
            raise UsageError(f"{path} has rows of {', '.join(there)}. Choose one with release (--release).")
        if release is not None and release not in there:
            raise UsageError(f"{path} has no rows of {short(release)}, but of {', '.join(there)}.")
        frame = frame[frame["release"].astype(str) == (release or there[0])] if there else frame
    elif release is not None:
        raise UsageError(f"{path} has no column that names a release; leave release out.")
    key = "assay" if "assay" in frame else "element"
    nameless = (frame[["element", key]].isna() | (frame[["element", key]] == "")).any(axis=1)
    if nameless.any():
        raise FormatError(f"{path}: {int(nameless.sum())} rows name no {key}.")
    names = list(dict.fromkeys(zip(frame["element"].astype(str), frame[key].astype(str), strict=True)))
    if missing := [name for name in elements or () if not any(name in pair for pair in names)]:
        raise UsageError(f"{path} has no element {short(missing[0])}, but {', '.join(name for _, name in names[:40])}.")
    pairs = [pair for pair in names if elements is None or set(pair) & set(elements)]
    by_name = dict(tuple(frame.groupby([frame["element"].astype(str), frame[key].astype(str)], sort=False)))
    assays = [_assay(by_name[pair], *pair, min_barcodes, path) for pair in pairs]
    return assays if key == "assay" else _grouped(assays)


def _named(frame: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    headings = [str(column).lower().lstrip("#") for column in frame.columns]
    columns = {}
    for name, spellings in COLUMNS.items():
        present = [column for column, spelling in zip(frame.columns, headings, strict=True) if spelling in spellings]
        if len(present) > 1:
            raise FormatError(f"{path}: {' and '.join(map(str, present))} both hold the {name}. Leave one out.")
        if present:
            columns[present[0]] = name
    if missing := [name for name in _NEEDED if name not in columns.values()]:
        raise FormatError(
            f"{path}: expected the columns {', '.join(_NEEDED)}; {missing[0]} is missing. It has: "
            f"{', '.join(map(str, frame.columns[:20]))}."
        )
    unknown = [
        str(column)
        for column, spelling in zip(frame.columns, headings, strict=True)
        if column not in columns and spelling not in _COUNTS
    ]
    if unknown:
        raise FormatError(
            f"{path}: {', '.join(map(short, unknown[:8]))}: unknown column. Remove it, or rename it to "
            f"what it holds: {', '.join(COLUMNS)}."
        )
    return frame[list(columns)].rename(columns=columns)


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    import pandas as pd

    if name not in frame:
        return np.full(len(frame), np.nan)
    return np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=np.float64)


def _assay(frame: pd.DataFrame, element: str, name: str, min_barcodes: int, path: str | Path) -> Assay:
    """Check one assay's rows, and spell its construct from the references."""
    at, effect, barcodes = (_numbers(frame, column) for column in ("position", "effect", "barcodes"))
    refs = [str(cell).strip().upper() for cell in frame["ref"]]
    alts = ["" if cell is None or cell != cell else str(cell).strip().upper() for cell in frame["alt"]]
    whole = np.isfinite(at)
    if (broken := at[whole][at[whole] % 1 != 0]).size or not whole.any():
        problem = f"the position {broken[0]:g}" if broken.size else "no row with a position"
        raise FormatError(f"{path}: {short(name)} has {problem}; expected whole numbers.")
    start = int(at[whole].min())
    size = int(at[whole].max()) - start + 1
    if size > 1_000_000:
        raise FormatError(f"{path}: {short(name)} reaches from {start:,} over {size:,} nt; is it one element?")
    bases = np.full(size, N, dtype=np.int8)
    for i in np.flatnonzero(whole).tolist():
        letter = ALPHABET.find(refs[i]) if len(refs[i]) == 1 else -1
        if not 0 <= letter < N:
            raise FormatError(
                f"{path}: {short(name)}, position {int(at[i])}: expected a base as ref, found {refs[i]!r}."
            )
        here = int(at[i]) - start
        if bases[here] not in (N, letter):
            raise FormatError(
                f"{path}: {short(name)}, position {int(at[i])}: ref is {ALPHABET[bases[here]]} and {refs[i]}. Rows of "
                f"several elements or assemblies under one name?"
            )
        bases[here] = letter
    reasons = [
        "position_missing"
        if not whole[i]
        else "deletion"
        if alts[i] in _DELETION
        else "no_substitution"
        if len(alts[i]) != 1 or not 0 <= ALPHABET.find(alts[i]) < N or alts[i] == refs[i]
        else "effect_missing"
        if not np.isfinite(effect[i])
        else "few_barcodes"
        if barcodes[i] < min_barcodes
        else ""
        for i in range(len(frame))
    ]
    rows = np.flatnonzero([reason == "" for reason in reasons])
    position = at[rows].astype(np.int64) - start
    step = (np.array([ALPHABET.find(alts[i]) for i in rows], dtype=np.int64) - bases[position]) % 4
    twice = [count for count in Counter(zip(position.tolist(), step.tolist(), strict=True)).items() if count[1] > 1]
    if twice:
        (here, _), count = twice[0]
        raise FormatError(
            f"{path}: {short(name)}, position {start + here}: the same substitution occurs in {count} rows. Give the "
            f"assays names of their own (column assay)."
        )
    return Assay(
        element,
        name,
        _chrom(frame, name, path),
        start,
        bases,
        position,
        step,
        effect[rows],
        _errors(frame, effect, name, path)[rows],
        barcodes[rows],
        {reason: reasons.count(reason) for reason in REASONS if reason in reasons},
    )


def _chrom(frame: pd.DataFrame, name: str, path: str | Path) -> str:
    """Read the one chromosome that an assay's rows name; empty where they name none."""
    if "chrom" not in frame:
        return ""
    cells = (str(cell).strip() for cell in frame["chrom"] if cell is not None)
    chromosomes = sorted({cell.removeprefix("chr") for cell in cells if cell.lower() not in _MISSING})
    if len(chromosomes) > 1:
        raise FormatError(
            f"{path}: {short(name)} has rows of the chromosomes {', '.join(chromosomes)}; is it one element?"
        )
    return chromosomes[0] if chromosomes else ""


def _check_numbers(frame: pd.DataFrame, name: str, path: str | Path) -> None:
    """Refuse what is neither a number nor missing: it would count as unknown, and nobody would know."""
    if name not in frame:
        return
    cells = frame[name].astype("string").str.strip().str.lower().fillna("")
    wrong = np.isnan(_numbers(frame, name)) & ~cells.isin(_MISSING).to_numpy()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise FormatError(
            f"{path}: row {row + 1} has {short(str(frame[name].iloc[row]))} as {name}; expected a number, or nothing."
        )


def _errors(frame: pd.DataFrame, effect: Floats, name: str, path: str | Path) -> Floats:
    """Take standard errors as they are, or from two-sided p values of a normal test."""
    from scipy.stats import norm

    if "se" in frame:
        errors = _numbers(frame, "se")
        return np.where((errors >= 0) & np.isfinite(errors), errors, np.nan)
    p = _numbers(frame, "p")
    if ((p < 0) | (p > 1)).any():
        wrong = p[(p < 0) | (p > 1)][0]
        raise FormatError(f"{path}: {short(name)} has the p value {wrong:g}; expected 0 to 1.")
    p = np.clip(p, 1e-300, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(effect) / norm.isf(p / 2)
    return np.where(np.isfinite(errors), errors, np.nan)


def _grouped(assays: list[Assay]) -> list[Assay]:
    """Give assays of one element its name: those that overlap on a chromosome, or spell the same letters."""
    group = list(range(len(assays)))
    for i, one in enumerate(assays):
        for j in range(i):
            other = assays[j]
            overlap = (
                one.chrom != ""
                and one.chrom == other.chrom
                and (one.start < other.start + other.bases.size and other.start < one.start + one.bases.size)
            )
            if overlap or np.array_equal(one.bases, other.bases):
                old, new = group[i], group[j]
                group = [new if each == old else each for each in group]
    names: dict[int, str] = {}
    for number in dict.fromkeys(group):
        members = [assay.name for assay, each in zip(assays, group, strict=True) if each == number]
        prefix = _shared(members) if len(members) > 1 else members[0]
        other_names = {assay.name for assay, each in zip(assays, group, strict=True) if each != number}
        names[number] = members[0] if not prefix or prefix in other_names | set(names.values()) else prefix
    return [replace(assay, element=names[each]) for assay, each in zip(assays, group, strict=True)]


def _shared(names: Sequence[str]) -> str:
    """Return the letters that all names begin with."""
    length = next(
        (i for i, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), min(map(len, names))
    )
    return names[0][:length].rstrip("-._ ")


def summary_of(assays: Sequence[Assay]) -> list[dict[str, Any]]:
    """List what each assay holds, and what of it takes no part."""
    return [
        {
            "element": each.element,
            "assay": each.name,
            "nucleotides": each.bases.size,
            "substitutions": len(each),
            **{reason: each.left_out.get(reason, 0) for reason in REASONS},
        }
        for each in assays
    ]
