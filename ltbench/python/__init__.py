"""What the command line does, as functions: one module for each kind of thing they give."""
