"""What is in front of a face: a small network, and the made objects that it learned from."""
