"""What a record of the log says besides its sentence: what happened and its facts, for formatters that write JSON."""

from __future__ import annotations

from typing import Any


def facts(event: str, /, **values: Any) -> dict[str, Any]:
    """Make the ``extra`` of a log call: ``crm_event`` names what happened, ``crm_facts`` holds plain values by name.

    Args:
        values: texts, numbers and None; never what people wrote about a customer.
    """
    return {"crm_event": event, "crm_facts": values}
