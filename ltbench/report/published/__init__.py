"""Published figures, quoted with their sources, and the budget they were trained with."""
