"""What a plugin promises: collected from its code, kept in its ``plugin.json``, compared at each change."""
