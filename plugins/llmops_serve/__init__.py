"""Serves a release over HTTP the way OpenAI's API is spoken."""
