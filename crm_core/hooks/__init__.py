"""Plugins: what they declare, how they are ordered and how they are called."""
