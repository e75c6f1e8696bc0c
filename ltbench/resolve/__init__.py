"""What was asked for, with every value resolved: rows, settings and where each comes from."""
