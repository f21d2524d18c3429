"""The trial by mutagenesis: controls, outcomes, verdicts."""
