"""Statistics over rows: intervals, paired differences, aggregates, regret. Knows no table."""
