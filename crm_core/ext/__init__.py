"""Adapters for web frameworks, all alike: a session a request, errors as problem documents, and a resource for each entity."""
