"""Records runs in Weights & Biases."""
