"""Flags that commands share: devices, template; YAML files; flags that say nothing."""
