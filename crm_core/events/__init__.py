"""The journal, and what is delivered from it."""
