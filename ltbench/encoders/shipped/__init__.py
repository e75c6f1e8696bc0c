"""The encoders that ltbench ships, one library a file; that is imported where a network is loaded."""
