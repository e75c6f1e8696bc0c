"""Methods and test-time strategies, one file each; found by folder, no list to edit."""
