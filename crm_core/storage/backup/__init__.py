"""Backups: one portable form of all that a CRM keeps, sealed in a file, which goes into either database."""
