"""Reading and writing sequences; tasks, crops and filters.

Importing this package loads numpy and nothing heavier.
"""

# The folder of tasks is imported before the function of the same name, which then takes its place here.
import kmerit.data.tasks  # noqa: F401
from kmerit.data.decontaminate import without_shared
from kmerit.data.filters import Crop, prepare, sample_per_class
from kmerit.data.intervals import Intervals
from kmerit.data.planted import plant, read_planted
from kmerit.data.planting import Planted, Planting
from kmerit.data.readers import read_sequences, write_sequences
from kmerit.data.registry import fetch, find_task, load_task, tasks
from kmerit.data.sources import SequencesLike, as_sequences
from kmerit.data.task import Task
from kmerit.data.tiles import Tiles

__all__ = [
    "Crop",
    "Intervals",
    "Planted",
    "Planting",
    "SequencesLike",
    "Task",
    "Tiles",
    "as_sequences",
    "fetch",
    "find_task",
    "load_task",
    "plant",
    "prepare",
    "read_planted",
    "read_sequences",
    "sample_per_class",
    "tasks",
    "without_shared",
    "write_sequences",
]
