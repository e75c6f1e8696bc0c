"""Training methods: one file, one method."""
