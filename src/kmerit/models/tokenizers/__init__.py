"""Tokenizers with exact spans."""
