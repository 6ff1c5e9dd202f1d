"""The data stage: reads dialogues, cleans and deduplicates them, and splits them without leaks."""
