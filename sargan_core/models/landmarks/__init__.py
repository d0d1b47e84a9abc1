"""68 landmarks: network, face-alignment, training."""
