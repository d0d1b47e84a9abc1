"""Editing many photos: the plan, the manifest and resuming, two engines, the report."""
