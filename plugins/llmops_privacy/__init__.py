"""Personal data: found in rows, taken out of them or replaced, and counted."""
