"""Whole studies, one file each, written on the public API: calibration, leakage, backgrounds, planted truth, sanity.

Importing loads no torch.
"""
