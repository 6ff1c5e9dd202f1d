"""Pages that stand alone: HTML as values, plots as inline SVG, and one style sheet."""
