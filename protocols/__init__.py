"""Protocol files: data, no code."""
