"""Before a run: its memory, time and disk (`plan`), and self-checks (`doctor`)."""
