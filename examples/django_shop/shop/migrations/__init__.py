"""The shop's own migrations; the CRM's run after them."""
