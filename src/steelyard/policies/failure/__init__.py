"""When a replica or a node is suspected, ejected and let back."""
