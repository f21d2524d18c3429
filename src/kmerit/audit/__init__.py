"""What in a data set could fool the trial: leaks, easy features, contradictory labels; splits; negatives.

Importing this package loads numpy and nothing heavier.
"""

from kmerit.audit.auditing import audit
from kmerit.audit.dataset import Dataset
from kmerit.audit.negatives import make_negatives
from kmerit.audit.planting import draw_leaking, overlapping_windows, placed, plant_leaks
from kmerit.audit.reading import Reading, read_dataset
from kmerit.audit.result import Audit, Concern, Finding, Gap
from kmerit.audit.settings import Config, Settings, Thresholds
from kmerit.audit.splitting import Division, split
from kmerit.audit.writing import write_split

__all__ = [
    "Audit",
    "Concern",
    "Config",
    "Dataset",
    "Division",
    "Finding",
    "Gap",
    "Reading",
    "Settings",
    "Thresholds",
    "audit",
    "draw_leaking",
    "make_negatives",
    "overlapping_windows",
    "placed",
    "plant_leaks",
    "read_dataset",
    "split",
    "write_split",
]
