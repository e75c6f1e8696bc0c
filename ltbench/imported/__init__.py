"""Outputs of models that were trained elsewhere, scored like any other row; lists to train by there."""
