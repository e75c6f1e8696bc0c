"""A trial on disk: its identity, its folder, and who may write there."""
