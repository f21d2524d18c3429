"""The data types: frozen, validated when made, the same axis names everywhere.

Positions are 0-based and half-open. Bases are numbered in the order ACGT = 0..3, N = 4.
"""

from kmerit.alphabet import ALPHABET, N, decode, encode
from kmerit.types.arrays import Bool, Float, Floats, Int8, Int32, Int64
from kmerit.types.identity import Identity
from kmerit.types.problem import Problem
from kmerit.types.remarks import Remark, codes
from kmerit.types.results import (
    MEASURES,
    ORDERS,
    Attribution,
    Attributions,
    ExportFormat,
    Level,
    Outcomes,
    Predictions,
    known_or,
)
from kmerit.types.sequences import MOST_CLASSES, Locus, Sequences, Tokens, Window, misfit

__all__ = [
    "ALPHABET",
    "MEASURES",
    "MOST_CLASSES",
    "ORDERS",
    "Attribution",
    "Attributions",
    "Bool",
    "ExportFormat",
    "Float",
    "Floats",
    "Identity",
    "Int8",
    "Int32",
    "Int64",
    "Level",
    "Locus",
    "N",
    "Outcomes",
    "Predictions",
    "Problem",
    "Remark",
    "Sequences",
    "Tokens",
    "Window",
    "codes",
    "decode",
    "encode",
    "known_or",
    "misfit",
]
