"""Test-time strategies: one file, one strategy."""
