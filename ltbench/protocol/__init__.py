"""Protocols: what is the same for all methods, read from TOML files that are found and checked."""
