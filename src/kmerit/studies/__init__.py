"""Whole studies, one file each, written on the public API: calibration, leakage, backgrounds, planted truth,
regimes, sanity.

Importing loads no torch.
"""
