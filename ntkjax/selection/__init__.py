"""Which examples of a pool help a domain: methods, pickers, and shared passes."""
