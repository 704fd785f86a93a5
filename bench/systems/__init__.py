"""What is compared: one file a system, each with the same methods."""
