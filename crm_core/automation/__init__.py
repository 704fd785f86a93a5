"""Rules that tenants write as data, and what runs them from the journal and by the clock."""
