"""Run directories, local or in a bucket; atomic files; shards. Knows no model."""
