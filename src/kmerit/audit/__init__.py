"""What in a data set could fool the trial: leaks, easy features, contradictory labels; splits; negatives.

Importing this package loads numpy and nothing heavier.
"""

from kmerit.audit.auditing import audit
from kmerit.audit.dataset import Dataset
from kmerit.audit.reading import Reading, read_dataset
from kmerit.audit.result import Audit, Finding, write_audit
from kmerit.audit.settings import Config, Settings, Thresholds

__all__ = [
    "Audit",
    "Config",
    "Dataset",
    "Finding",
    "Reading",
    "Settings",
    "Thresholds",
    "audit",
    "read_dataset",
    "write_audit",
]
