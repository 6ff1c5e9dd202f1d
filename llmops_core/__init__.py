"""llmops: one recipe describes, runs and explains the whole life of an LLM product."""

__version__ = "0.1.0"
