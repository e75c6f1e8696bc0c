"""Working files to start a method, strategy, protocol or source from."""
