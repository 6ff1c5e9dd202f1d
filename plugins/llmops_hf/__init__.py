"""Open weights in the Hugging Face layout, from packages, the hub, files and GGUF."""
