"""Data sets: tasks, audits, splits, negatives and planted truth."""
