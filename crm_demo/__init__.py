"""The demonstration: one customer's life in one process, then a simulated year. ``crm demo`` runs it."""
