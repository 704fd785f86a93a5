"""What a key's row says of it: in use, used by older values alone, destroyed with its subject, or used by nothing any more."""

from __future__ import annotations

CURRENT, OLD, DESTROYED, RETIRED = "current", "old", "destroyed", "retired"
