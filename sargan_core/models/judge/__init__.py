"""The judge: network, training, figures."""
