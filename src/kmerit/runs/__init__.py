"""A run: its config, its folder, its stages; stopped at any moment, it goes on where it was."""

from kmerit.runs.config import RunConfig, load_config
from kmerit.runs.pipeline import rewrite_report, run

__all__ = ["RunConfig", "load_config", "rewrite_report", "run"]
