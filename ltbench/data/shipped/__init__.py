"""The data sources that ltbench ships: one file, one kind; found by folder, no list to edit."""
