"""Backbones with E expert heads: images (B, 3, H, W) to logits (B, E, C)."""
