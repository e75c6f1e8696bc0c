"""Flaws of published evaluations, measured: outside the package, which has none of them."""
