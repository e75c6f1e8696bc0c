"""What every method, strategy and protocol must keep, as small functions in plain words.

The test suite sweeps them over everything that ships; ``ltbench check`` runs them on one plugin.
"""
