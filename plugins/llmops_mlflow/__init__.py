"""Records runs in MLflow, and keeps its model registry in step with the releases."""
