"""Which examples of a pool help a domain: methods, pickers, shortlist."""
