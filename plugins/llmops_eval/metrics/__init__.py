"""The metrics that come with the evaluation; anybody's plugin may add more."""
