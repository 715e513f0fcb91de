"""Process matters: the shared page, worker processes, the journal."""
