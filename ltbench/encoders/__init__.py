"""Features of frozen encoders, extracted from the images of a protocol or imported from files."""
