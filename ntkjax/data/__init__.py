"""Text files to examples to batches: formats, chat, pools on disk, near-duplicates."""
