"""Where replicas and nodes come from."""
