"""From stored logits to scores: test sets, strategies, metrics. Strategies see no label."""
