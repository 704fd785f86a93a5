"""What the tests of hosts and vendors import."""
