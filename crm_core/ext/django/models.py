"""No models: Django tells an app of migrations only where it has this module. The CRM's tables are its own migrations' to make."""
