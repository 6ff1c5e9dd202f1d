"""The data stage: reads rows of any source, cleans, deduplicates and splits them, keeps their versions."""
