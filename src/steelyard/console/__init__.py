"""Web pages over the admin endpoints."""
