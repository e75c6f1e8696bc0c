"""The only training loop, and what it needs: the feed of its images, augmentation, schedule, checkpoint."""
