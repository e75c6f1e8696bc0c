"""Data frames of a results folder: results, recalls and streams, as tidy tables."""
