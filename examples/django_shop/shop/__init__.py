"""A shop in Django with a CRM inside, on PostgreSQL or SQLite."""
