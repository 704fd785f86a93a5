"""Records: what a class of them declares, and what its values are."""
