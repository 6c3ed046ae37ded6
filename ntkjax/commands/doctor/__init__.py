"""`ntkjax doctor`: versions, devices, self-checks; do hosts agree."""
