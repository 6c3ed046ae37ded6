"""`ntkjax merge`: the jobs of `select --shard` as one run."""
