"""Records runs in Comet."""
