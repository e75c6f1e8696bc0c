"""The backbones that ltbench ships, one family a file; torch is imported where one is built."""
