"""Frozen features of a pre-trained encoder: the folder they are stored in, written and read."""
