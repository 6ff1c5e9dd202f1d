"""Where a recipe's machines come from."""
