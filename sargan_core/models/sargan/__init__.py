"""SARGAN and its peers: generator, discriminator, refiner, file, training."""
