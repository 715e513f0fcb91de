"""Tables and pages that show what happened."""
