"""Sequences, motifs and scores in and out of files."""
