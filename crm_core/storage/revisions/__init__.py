"""Frozen schemas and what they are made of: a revision is a list of steps, as plain JSON, that both databases can take."""
