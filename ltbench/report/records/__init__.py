"""Records: JSON on disk, checked and typed."""
