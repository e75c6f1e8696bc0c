"""Images of every source, as arrays: found, read, cached and checked."""
