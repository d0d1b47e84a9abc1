"""Faces: find them, align them, paste the edit back."""
