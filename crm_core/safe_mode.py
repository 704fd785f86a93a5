"""Safe mode: a CRM without its plugins, to look at the core's records while a plugin is broken.

It reads and never writes: the plugins' vetoes, filters and rollups would be missing from what it wrote. No event is delivered and no rule
runs; events wait. The tables, columns and subscriptions of plugins are left alone.

Rights fail closed. What a role allows on a plugin's entities, or asks of a plugin's fields, it does not allow; what it narrows by a
plugin's field is shut. Who has a role of an absent plugin sees nothing, since that role may have narrowed the others. A system actor
sees all of the core's records.
"""

from __future__ import annotations

import os
from types import NoneType

from .arguments import check

VARIABLE = "CRM_SAFE_MODE"


def wanted(asked: bool | None = None) -> bool:
    """Say whether safe mode is asked for, by the host or else by the environment."""
    check(asked, (bool, NoneType), "True, False or None")
    return os.environ.get(VARIABLE, "").strip().lower() in ("1", "true", "yes", "on") if asked is None else asked
