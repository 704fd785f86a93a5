"""Custom fields at run time: what a tenant's administrator adds to an entity, typed, checked, found by and shown like any other field."""
