"""Text files to examples to batches; templates, pools on disk, the small world."""
