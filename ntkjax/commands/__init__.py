"""One room for each command: its settings, its run, what it shows."""
