"""The only training loop, and what it needs: augmentation, schedule, checkpoint."""
