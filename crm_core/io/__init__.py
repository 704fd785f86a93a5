"""Files in: reading, mapping and rejecting rows."""
