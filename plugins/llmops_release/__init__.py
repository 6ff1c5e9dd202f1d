"""Releases a model when its scores pass the recipe's gates."""
