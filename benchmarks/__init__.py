"""Timed comparisons with the published procedure; run by hand or with ``make bench``."""
