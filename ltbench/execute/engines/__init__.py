"""Engines: one file for each kind of place where trials run. Only the one that is asked for is imported."""
