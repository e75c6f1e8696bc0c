"""Figures: one file a figure or two kindred ones, and what all share."""
