"""Who may do what, decided by one tree of rules and seen through one lens."""
