"""Training of the expression models."""
