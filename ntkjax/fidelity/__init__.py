"""How far an approximate kernel is from the exact one."""
