"""Expressions as codes of face units: face model, fit, encoder, movement, training."""
