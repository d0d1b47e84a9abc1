"""Image file formats: how each is taken apart, read and written (used through sargan_core.photo)."""
