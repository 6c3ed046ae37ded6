"""Rows of files: JSON lines and Parquet, with the place of each row."""
