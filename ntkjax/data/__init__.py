"""Text files to examples to batches; pools on disk, the small world."""
