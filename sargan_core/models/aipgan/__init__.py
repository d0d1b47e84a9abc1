"""Expression transfer after AIP-GAN: network, parts, file, training."""
