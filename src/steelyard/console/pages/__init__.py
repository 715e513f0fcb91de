"""One file a page: what it shows, gathered from the watch."""
