"""What ``ltbench new method --kind`` writes: one file a kind, and the test that they share."""
