"""From scores to the order in which candidates are picked, one way per file."""
