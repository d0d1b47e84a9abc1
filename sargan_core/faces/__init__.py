"""Faces: find, align, move and fill them, and paste the edit into the photo."""
