"""Working files to start a method, strategy, protocol, source or backbone from."""
