"""sargan_core: change the facial expression in a photo and leave everything else alone."""

__version__ = "0.1.0"
