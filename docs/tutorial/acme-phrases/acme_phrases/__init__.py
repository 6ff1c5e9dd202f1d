"""data/step=acme_phrases for llmops."""
