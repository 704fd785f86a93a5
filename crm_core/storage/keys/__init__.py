"""Keys and sealed values: where keys come from, what is written under them, and how they change."""
