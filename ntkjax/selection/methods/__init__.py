"""One method of selection per file, and the table of them."""
