"""Who may enter, and who waits."""
