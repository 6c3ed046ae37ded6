"""Text files to examples to batches."""
