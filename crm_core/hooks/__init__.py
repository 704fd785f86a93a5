"""Hooks: what plugins are, how a CRM loads them, and how their code is called."""
