"""Where trials run: the plan, local worker processes, and what they tell."""
