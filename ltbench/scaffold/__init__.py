"""Working files to start a method, strategy or protocol from."""
