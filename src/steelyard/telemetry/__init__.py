"""What machines and engines report, in and out."""
