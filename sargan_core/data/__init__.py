"""Training data: sources, split by person, aligned crop cache."""
