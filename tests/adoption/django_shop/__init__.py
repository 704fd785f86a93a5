"""A shop in Django with a table of customers, which its CRM has adopted."""
