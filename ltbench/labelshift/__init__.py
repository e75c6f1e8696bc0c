"""Label shift: estimating a test label distribution from posteriors, and predicting under it."""
