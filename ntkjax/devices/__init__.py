"""The mesh of devices, sharding rules, programs, and the processes of a run."""
