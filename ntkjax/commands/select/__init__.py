"""`ntkjax select`: the examples of a pool that help a domain."""
