"""Formats of data files, one file each, with the place of each row in a file."""
