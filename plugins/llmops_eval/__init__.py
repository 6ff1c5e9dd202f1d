"""Scores a model's answers to held-out rows, against those of the model it came from."""
