"""Which examples of a pool help a domain: one file per part of a method."""
