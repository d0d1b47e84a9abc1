"""Evaluation: figures and pictures of expression models on people they never saw."""
