"""The commands as stages in order, resumable: one file or a few for each."""
